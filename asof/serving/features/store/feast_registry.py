"""The registered features of a service, read from Feast's SQL registry without importing Feast."""

import psycopg

from asof.features.definition_records import read_records
from asof.features.feast.registry import read_service
from asof.inference.policies import RegisteredFeatures, view_policy


def read_registry(conninfo: str, project: str, service: str, *, store: str) -> RegisteredFeatures:
    """The registered features of a service, read in one transaction; blocks. `store` is the type of the online store.

    Raises FeatureContractMismatch where an object is missing, psycopg.Error where the registry cannot be read.
    """
    with psycopg.connect(conninfo) as connection:
        connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        registered = read_service(connection, project, service)
        records = read_records(connection, store, list(registered.views))
    policies = {name: view_policy(view.ttl.ToTimedelta(), view.tags) for name, view in registered.views.items()}
    return RegisteredFeatures(registered.contract, policies, records, feast_only=registered.feast_only)

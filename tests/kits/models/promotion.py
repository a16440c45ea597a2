"""A registered model with three versions to promote, the gate's judges, and the feature services of made-up users."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from mlflow import MlflowClient
from sqlalchemy.engine import make_url

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings, export
from asof.use_case import GateBounds, UseCase
from tests.kits.models.training import SMALL, SMALLER, made_up_set, small_use_case
from tests.kits.service.serving import registered_contract
from training.features.datasets.training_set import TrainingSet
from training.models.evaluation.evaluate import Evaluation, evaluate
from training.models.fitting.train import train
from training.release.gate.contest import BuildSet, hold_contest
from training.release.promotion.history import Entry, read_history, reading, writing
from training.release.promotion.history_report import HistoryReport, report_history
from training.release.promotion.promote import Judge, Promotion, promote, rollback
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion
from training.targets.binary_criteria import comparison_criteria
from training.targets.rules import Criterion
from training.tracking.client import open_tracking

SETS = {contract.feature_service: made_up_set(contract=contract) for contract in (SMALL, SMALLER)}
GOOD = Criterion("good", True, {"figure": 0.5}, "because")


def set_for(contract: FeatureContract) -> TrainingSet:
    return SETS[contract.feature_service]


def by_contest(settings: Settings, challenger: ModelVersion, training_set_for: BuildSet = set_for) -> Judge:
    """The gate's criteria on metrics alone."""
    return lambda champion: comparison_criteria(
        hold_contest(settings, challenger, champion, training_set_for=training_set_for), GateBounds()
    )


def always(champion: ModelVersion | None) -> list[Criterion]:
    """A judge whom every version passes."""
    return [GOOD]


@dataclass(frozen=True)
class Registry:
    """One use case and its registered model."""

    settings: Settings
    use_case: UseCase
    evaluations: Mapping[str, Evaluation]
    client: MlflowClient

    @property
    def name(self) -> str:
        return self.use_case.model_name

    def version(self, estimator: str) -> ModelVersion:
        return register(self.settings, replace(self.evaluations[estimator], model_name=self.name))

    def promote(self, estimator: str) -> Promotion:
        """Through the gate."""
        version = self.version(estimator)
        return promote(self.settings, version, judge=by_contest(self.settings, version))

    def put(self, estimator: str, judge: Judge = always) -> Promotion:
        """Past the gate."""
        return promote(self.settings, self.version(estimator), judge=judge)

    def rollback(self, to: str | None = None, reason: str = "complaints") -> Promotion:
        return rollback(self.settings, self.use_case, to=to, reason=reason)

    def state(self) -> dict[str, Any]:
        """Everything of MLflow's that a promotion may change but for the model's own tag: alias, stages and tags."""
        versions = self.client.search_model_versions(f"name='{self.name}'")
        alias = self.client.get_registered_model(self.name).aliases
        return {"alias": alias, **{each.version: (each.current_stage, each.tags) for each in versions}}

    def stages(self) -> dict[str, str]:
        return {str(number): found[0] for number, found in self.state().items() if number != "alias"}

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(self.name, version).tags)

    def history(self) -> list[Entry]:
        with reading(self.settings) as connection:
            return read_history(connection, self.name)

    def story(self) -> list[tuple[str, str | None, str | None]]:
        """The history in short: event, version, the one before."""
        return [(str(entry.event), entry.version, entry.previous) for entry in self.history()]

    def report(self) -> HistoryReport:
        return report_history(self.settings, self.use_case)


def fresh_registry(settings: Settings, evaluations: Mapping[str, Evaluation]) -> Registry:
    """A registered model of the test's own, without a version."""
    use_case = small_use_case(f"model_{uuid.uuid4().hex[:8]}")
    return Registry(settings, use_case, evaluations, open_tracking(settings))


MLFLOW_TABLES = (
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "model_version_tags",
)
"""Where MLflow keeps what a promotion changes; each table after those that it refers to."""


def keep(registry: Registry) -> None:
    """Keeps the model's rows of the history and of MLflow beside the tables, for `restore`."""
    with writing(registry.settings) as history, _mlflow(registry) as mlflow:
        for connection, tables in ((history, {"promotions": "model"}), (mlflow, dict.fromkeys(MLFLOW_TABLES, "name"))):
            connection.execute("CREATE SCHEMA IF NOT EXISTS kept")
            for table, column in tables.items():
                connection.execute(f"CREATE TABLE IF NOT EXISTS kept.{table} AS TABLE public.{table} WITH NO DATA")
                rows = f"SELECT * FROM public.{table} WHERE {column} = %s"
                connection.execute(f"INSERT INTO kept.{table} {rows}", [registry.name])


def restore(registry: Registry) -> Registry:
    """The registry as it was kept: in a fraction of the time that making it takes."""
    with writing(registry.settings) as connection, connection.transaction():
        connection.execute("ALTER TABLE promotions DISABLE TRIGGER append_only")
        connection.execute("DELETE FROM promotions WHERE model = %s", [registry.name])
        connection.execute("INSERT INTO promotions SELECT * FROM kept.promotions WHERE model = %s", [registry.name])
        connection.execute("ALTER TABLE promotions ENABLE ALWAYS TRIGGER append_only")
    with _mlflow(registry) as connection:
        for table in reversed(MLFLOW_TABLES):
            connection.execute(f"DELETE FROM {table} WHERE name = %s", [registry.name])
        for table in MLFLOW_TABLES:
            connection.execute(f"INSERT INTO {table} SELECT * FROM kept.{table} WHERE name = %s", [registry.name])
    return registry


def _mlflow(registry: Registry) -> psycopg.Connection[Any]:
    return psycopg.connect(registry.settings.conninfo(make_url(registry.settings.tracking_uri).database))


def evaluated(settings: Settings) -> dict[str, Evaluation]:
    """One of each estimator, whose features the store knows: `default` is good, `less` worse, `constant` a guess."""
    export(settings)
    apply_small_features(settings, SMALL, SMALLER)
    use_case = small_use_case("shared")
    sets = {name: replace(each, contract=registered_contract(settings, name)) for name, each in SETS.items()}
    return {
        name: evaluate(settings, train(settings, use_case, sets[each.feature_service], estimator=name))
        for name, each in use_case.estimators.items()
    }


def apply_small_features(settings: Settings, *contracts: FeatureContract) -> None:
    """Makes the feature store know these made-up contracts, and no others."""
    from feast import Entity, FeatureService, FeatureView, Field, ValueType, types
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

    from asof.features.feature_store import feature_store, quiet

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    features = dict.fromkeys(feature for contract in contracts for feature in contract.features)
    views = {
        view: FeatureView(
            name=view,
            entities=[user],
            schema=[Field(name=each.name, dtype=getattr(types, each.dtype)) for each in features if each.view == view],
            source=PostgreSQLSource(name=view, table=view, timestamp_field="as_of"),
        )
        for view in dict.fromkeys(feature.view for feature in features)
    }
    services = [
        FeatureService(
            name=contract.feature_service,
            features=[views[view][[f.name for f in contract.features if f.view == view]] for view in contract.views],
        )
        for contract in contracts
    ]
    with feature_store(settings) as store, quiet():
        known = [*store.list_feature_services(), *store.list_feature_views()]
        gone = [each for each in known if each.name not in {*views, *(service.name for service in services)}]
        store.apply([user, *views.values(), *services], objects_to_delete=gone, partial=False)

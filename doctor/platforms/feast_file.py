"""feature_repo/feature_store.yaml -> settings of Feast's that bite where they are left out."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from doctor.finding import Finding, error, warning
from doctor.given import Given

FILE = "feature_repo/feature_store.yaml"


def look_at_feast_file(given: Given) -> Iterator[Finding]:
    """Every check on the file."""
    path = given.project / FILE
    if not path.is_file():
        yield error("feature-store-file", f"{FILE} is gone.", f"git checkout {FILE}")
        return
    try:
        told = yaml.safe_load(path.read_text())
    except yaml.YAMLError as wrong:
        yield error("feature-store-file", f"{FILE} cannot be read: {str(wrong).splitlines()[0]}.", f"Correct {FILE}.")
        return
    yield from judged(told)


def judged(told: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the file."""
    stores = {name: told.get(name) or {} for name in ("offline_store", "online_store")}
    yield from _planner(stores["offline_store"])
    for name, store in stores.items():
        yield from _sslmode(name, store)
    yield from _registry(told.get("registry") or {})
    if not (told.get("materialization") or {}).get("pull_latest_features"):
        found = (
            f"{FILE} does not set materialization.pull_latest_features: every row is read where the newest is wanted."
        )
        yield warning("pull-latest", found, "Set materialization: {pull_latest_features: true}.")


def _planner(store: Mapping[str, Any]) -> Iterator[Finding]:
    if store.get("type") == "postgres" and "enable_nestloop=off" not in str(store.get("db_schema", "")):
        found = f"{FILE} does not switch nested loops off for Feast's joins: reading history takes O(n^2) then."
        mend = "offline_store.db_schema: public -c enable_nestloop=off ${ASOF_FEAST_SESSION} -c search_path=public"
        yield error("feast-planner", found, mend)


def _sslmode(name: str, store: Mapping[str, Any]) -> Iterator[Finding]:
    if "sslmode" not in store and "host" in store:
        found = (
            f"{FILE} sets no sslmode in {name}: Feast takes `require`, which a server without a certificate refuses."
        )
        yield error(f"feast-sslmode:{name}", found, f"{name}.sslmode: ${{ASOF_FEAST_SSLMODE}}")


def _registry(registry: Mapping[str, Any]) -> Iterator[Finding]:
    if not registry.get("serve_features_while_materializing"):
        found = f"{FILE} does not let Feast read a view while it is materialised: retrain and parity fail meanwhile."
        yield warning("feast-materializing", found, "Set registry: {serve_features_while_materializing: true}.")
    seconds = registry.get("cache_ttl_seconds", 600)
    if not 0 < float(seconds) <= 600:
        when = "never again" if float(seconds) == 0 else f"after {seconds} s"
        found = (
            f"A process that uses Feast reads the registry {when} (cache_ttl_seconds): what is applied stays unseen."
        )
        yield warning("registry-cache", found, f"Set registry.cache_ttl_seconds in {FILE} to 60.")

"""Check of feature_repo/feature_store.yaml: settings whose defaults are harmful."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from doctor.context import Context
from doctor.finding import Finding, error, warning

FILE = "feature_repo/feature_store.yaml"


def check_feast_file(context: Context) -> Iterator[Finding]:
    """Whether the file exists, can be parsed and has the settings."""
    path = context.project / FILE
    if not path.is_file():
        yield error("feature-store-file", f"{FILE} is missing.", f"git checkout {FILE}")
        return
    try:
        config = yaml.safe_load(path.read_text())
    except yaml.YAMLError as wrong:
        yield error("feature-store-file", f"{FILE} cannot be read: {str(wrong).splitlines()[0]}.", f"Correct {FILE}.")
        return
    yield from check_settings(config)


def check_settings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings on the content of the file."""
    stores = {name: config.get(name) or {} for name in ("offline_store", "online_store")}
    yield from _planner(stores["offline_store"])
    for name, store in stores.items():
        yield from _sslmode(name, store)
    yield from _registry(config.get("registry") or {})
    if not (config.get("materialization") or {}).get("pull_latest_features"):
        found = f"{FILE} does not set materialization.pull_latest_features: all rows are read, not only the newest."
        yield warning("pull-latest", found, "Set materialization: {pull_latest_features: true}.")


def _planner(store: Mapping[str, Any]) -> Iterator[Finding]:
    if store.get("type") == "postgres" and "enable_nestloop=off" not in str(store.get("db_schema", "")):
        found = f"{FILE} does not switch nested loops off for Feast's joins: historical reads take O(n^2)."
        fix = "offline_store.db_schema: public -c enable_nestloop=off ${ASOF_FEAST_SESSION} -c search_path=public"
        yield error("feast-planner", found, fix)


def _sslmode(name: str, store: Mapping[str, Any]) -> Iterator[Finding]:
    if "sslmode" not in store and "host" in store:
        found = f"{FILE} sets no sslmode in {name}: Feast uses `require`, which fails without a server certificate."
        yield error(f"feast-sslmode:{name}", found, f"{name}.sslmode: ${{ASOF_FEAST_SSLMODE}}")


def _registry(registry: Mapping[str, Any]) -> Iterator[Finding]:
    if not registry.get("serve_features_while_materializing"):
        found = f"{FILE} blocks reads of a view while it is materialised: retrain and parity fail meanwhile."
        yield warning("feast-materializing", found, "Set registry: {serve_features_while_materializing: true}.")
    seconds = registry.get("cache_ttl_seconds", 600)
    if not 0 < float(seconds) <= 600:
        when = "never" if float(seconds) == 0 else f"after {seconds} s"
        found = f"Feast refreshes its registry cache {when} (cache_ttl_seconds): applied changes stay unseen."
        yield warning("registry-cache", found, f"Set registry.cache_ttl_seconds in {FILE} to 60.")

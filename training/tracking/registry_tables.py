"""Reads MLflow's tables in PostgreSQL without importing MLflow, which takes two seconds of a processor.

`RegistryTables` has the reading methods of MlflowClient that AsOf calls. It knows the tables of one release of MLflow
and artifacts in local folders; everything else, and every object that it does not find, is left to MlflowClient.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import unquote, urlsplit
from weakref import finalize

import psycopg
from psycopg.rows import namedtuple_row

from asof.errors import ConfigurationError
from asof.postgres_url import conninfo_of, parse_url
from asof.settings import Settings
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

REVISION = "dc11669786a5"
"""The last migration of MLflow 3.17."""
FILTER = re.compile(r"name='(?P<name>[^']*)'(?: and run_id='(?P<run_id>[^']*)')?")
MODEL_URI = re.compile(r"models:/(?:(?P<id>m-[0-9a-f]{32})|(?P<name>[^/]+)/(?P<version>\d{1,9}))(?P<file>/.+)?")

MODELS = """
SELECT (SELECT coalesce(json_object_agg(key, value), '{}') FROM registered_model_tags t
        WHERE t.name = m.name AND t.workspace = m.workspace) AS tags,
       (SELECT coalesce(json_object_agg(alias, version::text), '{}') FROM registered_model_aliases a
        WHERE a.name = m.name AND a.workspace = m.workspace) AS aliases
FROM registered_models m WHERE m.workspace = 'default' AND m.name = %(name)s"""
VERSIONS = """
SELECT v.version::text AS version, v.run_id, v.current_stage, coalesce(v.storage_location, v.source) AS location,
       (SELECT coalesce(json_object_agg(key, value), '{}') FROM model_version_tags t
        WHERE t.name = v.name AND t.version = v.version AND t.workspace = v.workspace) AS tags
FROM model_versions v
WHERE v.workspace = 'default' AND v.name = %(name)s AND v.current_stage <> 'Deleted_Internal'
  AND (%(run_id)s::text IS NULL OR v.run_id = %(run_id)s)
ORDER BY v.last_updated_time DESC, v.name, v.version DESC"""
RUN = "SELECT run_uuid AS run_id, status, start_time, lifecycle_stage, artifact_uri FROM runs WHERE run_uuid = %s"
DATA = {
    "metrics": "SELECT key, CASE WHEN is_nan THEN 'NaN' ELSE value END FROM latest_metrics WHERE run_uuid = %s",
    "params": "SELECT key, value FROM params WHERE run_uuid = %s",
    "tags": "SELECT key, value FROM tags WHERE run_uuid = %s",
}
OUTPUTS = """
SELECT destination_id AS model_id, step FROM inputs
WHERE source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT' AND source_id = %s"""
LOCATION = "SELECT artifact_location FROM logged_models WHERE model_id = %s"


def open_registry(settings: Settings) -> "MlflowClient":
    """A client that only reads; without MLflow where its tables can be read. Raises as `open_tracking` does."""
    return _tables(settings) or open_tracking(settings)


class RegistryTables:
    """An MlflowClient whose reads need no MLflow. Its connection ends with it."""

    def __init__(self, settings: Settings, conninfo: str) -> None:
        self._settings, self._conninfo = settings, conninfo

    @property
    def known(self) -> bool:
        """Whether the tables are those of the release that this class reads."""
        return bool(self._rows("SELECT version_num FROM alembic_version") == [(REVISION,)])

    def search_registered_models(self, filter_string: str) -> list[Any]:
        """The model of a filter `name='...'`."""
        return self._search(MODELS, filter_string)

    def search_model_versions(self, filter_string: str) -> list[Any]:
        """The versions of a filter `name='...'`, or `name='...' and run_id='...'`."""
        return self._search(VERSIONS, filter_string)

    def get_model_version(self, name: str, version: str) -> Any:
        """A version. Raises MlflowException where there is none."""
        found = (each for each in self.search_model_versions(f"name='{name}'") if each.version == version)
        return next(found, None) or self._client.get_model_version(name, version)

    def get_run(self, run_id: str) -> Any:
        """A run with its metrics, parameters, tags and models. Raises MlflowException where there is none."""
        if not (runs := self._rows(RUN, (run_id,))):
            return self._client.get_run(run_id)
        data = {name: dict(self._rows(query, (run_id,))) for name, query in DATA.items()}
        outputs = SimpleNamespace(model_outputs=self._rows(OUTPUTS, (run_id,)))
        return SimpleNamespace(info=runs[0], data=SimpleNamespace(**data), outputs=outputs)

    def list_artifacts(self, run_id: str) -> list[Any]:
        """The files and folders that a run logged."""
        folder = _local(self.get_run(run_id).info.artifact_uri)
        if folder is None:
            return list(self._client.list_artifacts(run_id))
        return [SimpleNamespace(path=each.name) for each in folder.iterdir()] if folder.is_dir() else []

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        """Copies a file that a run logged into a folder; returns its path."""
        folder = _local(self.get_run(run_id).info.artifact_uri)
        if folder is None or not (folder / path).is_file():
            return str(self._client.download_artifacts(run_id, path, dst_path))
        return str(shutil.copy(folder / path, dst_path))

    def local_model(self, uri: str) -> Path | None:
        """The folder or file of a model `models:/...` on this machine; None where only MLflow can find it."""
        match = MODEL_URI.fullmatch(uri)
        folder = _local(self._location(match)) if match else None
        path = folder / (match["file"] or "").strip("/") if match and folder else None
        return path if path and path.exists() else None

    def __getattr__(self, name: str) -> Any:
        """Every other method of MlflowClient."""
        return getattr(self._client, name)

    def _location(self, uri: re.Match[str]) -> str | None:
        if uri["id"] is None:
            versions = {each.version: each for each in self.search_model_versions(f"name='{uri['name']}'")}
            return versions[uri["version"]].location if uri["version"] in versions else None
        rows = self._rows(LOCATION, (uri["id"],))
        return rows[0].artifact_location if rows else None

    def _search(self, query: str, filter_string: str) -> list[Any]:
        if (match := FILTER.fullmatch(filter_string)) is None:
            raise NotImplementedError(filter_string)
        return self._rows(query, match.groupdict())

    def _rows(self, query: LiteralString, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[Any]:
        """What a query gives; on another connection where a server that was restarted has ended ours."""
        connection = self._connection
        try:
            return connection.execute(query, parameters).fetchall()
        except psycopg.OperationalError:
            if not connection.closed:
                raise
            del self._connection
            return self._connection.execute(query, parameters).fetchall()

    @cached_property
    def _client(self) -> "MlflowClient":
        return open_tracking(self._settings)

    @cached_property
    def _connection(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._conninfo, row_factory=namedtuple_row, autocommit=True)
        finalize(self, connection.close)
        return connection


def _tables(settings: Settings) -> RegistryTables | None:
    """None where the address is not that of a PostgreSQL that answers, with the tables of the known release."""
    url = parse_url(settings.tracking_uri)
    if url is None or not url.drivername.startswith("postgresql"):
        return None
    try:
        tables = RegistryTables(settings, conninfo_of(url))
        known = tables.known
    except (ConfigurationError, psycopg.Error):  # MlflowClient reports it, or makes tables
        return None
    return tables if known else None


def _local(location: str | None) -> Path | None:
    """The path of a `file:` address; None for another."""
    parts = urlsplit(location or "")
    return Path(unquote(parts.path)) if parts.scheme == "file" and parts.netloc in ("", "localhost") else None

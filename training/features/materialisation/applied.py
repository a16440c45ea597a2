"""Whether feature_repo/ is what is registered, without importing Feast, by a record beside Feast's registry.

The record holds a digest of the files that were applied, and one of what was registered for them. It counts only while
both are as recorded: any change of a file, of a version or of the registry, by whomever, makes it void.
"""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from asof import __version__
from asof.errors import FeatureContractMismatch
from asof.features import feature_store
from asof.features.feast.registry import read_all, registry_conninfo
from asof.settings import Settings
from training.data.snapshots.owned_tables import create_if_absent, table_exists

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents

Specs = Mapping[tuple[str, ...], bytes]
"""Specs of Feast's messages by kind and name."""
TABLE = "public.applied_features"
CREATE = f"""
CREATE TABLE {TABLE} (
    project text PRIMARY KEY,
    files text NOT NULL,
    registered text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
RECORD = f"""
INSERT INTO {TABLE} (project, files, registered) VALUES (%s, %s, %s)
ON CONFLICT (project) DO UPDATE SET (files, registered, applied_at) = (excluded.files, excluded.registered, now())"""  # noqa: S608
OTHERS = """
SELECT 'other', feature_view_name FROM stream_feature_views WHERE project_id = %(project)s
UNION ALL SELECT 'other', feature_view_name FROM on_demand_feature_views WHERE project_id = %(project)s
UNION ALL SELECT 'other', feature_view_name FROM label_views WHERE project_id = %(project)s"""
"""Views that AsOf does not support, and applying removes."""
RECORDED = f"SELECT files, registered FROM {TABLE} WHERE project = %s"  # noqa: S608
WITHOUT_INPUT = frozenset({"__future__", "collections", "dataclasses", "datetime", "feast", "functools", "typing"})
"""Modules that a definition may import without depending on anything but the files of feature_repo/."""


def is_applied(settings: Settings) -> bool:
    """Whether the registry holds what the files of feature_repo/ define; False where only Feast can tell."""
    configuration = feature_store.configuration(settings)
    if (conninfo := registry_conninfo(configuration["registry"])) is None:
        return False
    with psycopg.connect(conninfo) as connection:
        try:
            if not table_exists(connection, TABLE):
                return False
            recorded = connection.execute(RECORDED, [configuration["project"]]).fetchone()
            return recorded == (_files_digest(), _digest(_registered(connection, configuration["project"])))
        except (FeatureContractMismatch, psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
            return False


def record_applied(settings: Settings, defined: "RepoContents") -> None:
    """Records an application whose definitions are now registered, unless they depend on more than their files."""
    configuration = feature_store.configuration(settings)
    if (conninfo := registry_conninfo(configuration["registry"])) is None:
        return
    with psycopg.connect(conninfo, autocommit=True) as connection:
        create_if_absent(connection, TABLE, CREATE)
        registered = _registered(connection, configuration["project"])
        # Compared, as another apply may have come between.
        if registered == _specs(defined) and not any(_foreign_imports()):
            connection.execute(RECORD, [configuration["project"], _files_digest(), _digest(registered)])


def _registered(connection: psycopg.Connection[Any], project: str) -> Specs:
    specs = {
        (kind, name): _plain(each.spec)
        for kind in ("entity", "feature_view", "feature_service")
        for name, each in read_all(connection, project, kind).items()
    }
    others = connection.execute(OTHERS, {"project": project}).fetchall()
    return specs | dict.fromkeys(others, b"")


def _specs(defined: "RepoContents") -> Specs:
    objects = {
        "entity": defined.entities,
        "feature_view": defined.feature_views,
        "feature_service": defined.feature_services,
    }
    return {(kind, each.name): _plain(each.to_proto().spec) for kind, every in objects.items() for each in every}


def _plain(spec: Any) -> bytes:
    """The spec without what registering fills in: its project, and the times of its sources."""
    copy = type(spec)()
    copy.CopyFrom(spec)
    copy.ClearField("project")
    for part in (copy, *getattr(copy, "features", ())):
        if "batch_source" in part.DESCRIPTOR.fields_by_name:
            part.batch_source.ClearField("meta")
    serialized: bytes = copy.SerializeToString(deterministic=True)
    return serialized


def _digest(specs: Specs) -> str:
    every = [[*name, hashlib.sha256(spec).hexdigest()] for name, spec in sorted(specs.items())]
    return hashlib.sha256(json.dumps(every).encode()).hexdigest()


def _files_digest() -> str:
    """Of the versions of AsOf and Feast, and of the name and content of each file of feature_repo/."""
    files = [[str(file.relative_to(root)), hashlib.sha256(file.read_bytes()).hexdigest()] for root, file in _files()]
    return hashlib.sha256(json.dumps([__version__, version("feast"), sorted(files)]).encode()).hexdigest()


def _files() -> Iterator[tuple[Path, Path]]:
    root = feature_store.REPOSITORY
    for file in root.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield root, file


def _foreign_imports() -> Iterator[str]:
    """The modules that a definition imports from elsewhere: their changes would not be noticed."""
    own = {file.stem for _, file in _files()}
    for _, file in _files():
        if file.suffix == ".py":
            for node in ast.walk(ast.parse(file.read_bytes())):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
                yield from (name for name in names if name.partition(".")[0] not in WITHOUT_INPUT | own)

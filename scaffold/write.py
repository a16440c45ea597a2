"""Draft -> files of the project, formatted; nothing that exists is overwritten."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from asof.errors import ConfigurationError
from asof.extracts.schema import Kind
from asof.extracts.sources import PostgresQuery
from asof.files import write_whole
from scaffold.draft import Draft, DraftColumn, DraftTable, left_out
from scaffold.source_code import source_code

TEMPLATES = ("__init__.py", "raw_schema.py", "payloads.py", "questions.py", "estimators.py", "model_card.html")
KEY_TYPES = {Kind.TEXT: "EntityKey", Kind.INTEGER: "IntegerKey", Kind.UUID: "UuidKey"}
PYTHON_TYPES = {Kind.TEXT: "str", Kind.INTEGER: "int", Kind.UUID: "str"}
VALUE_TYPES = {Kind.TEXT: "STRING", Kind.INTEGER: "INT64", Kind.UUID: "UUID"}
TARGETS = {
    "Binary": {"score_class": "Score", "mixin": "ClassifierMixin", "boosting": "HistGradientBoostingClassifier"},
    "Multiclass": {
        "score_class": "ClassScore",
        "mixin": "ClassifierMixin",
        "boosting": "HistGradientBoostingClassifier",
    },
    "Regression": {"score_class": "ValueScore", "mixin": "RegressorMixin", "boosting": "HistGradientBoostingRegressor"},
}
"""What the templates name, by the class of `asof.targets`."""
MAX_LINE = 120
TTL_DAYS = 45
"""For monthly tables: a value is up to 31 days old when the next one arrives, which may be two weeks late."""
UNKNOWN_KEYS = {Kind.TEXT: "no-such-key", Kind.INTEGER: -1, Kind.UUID: "00000000-0000-4000-8000-000000000000"}


def write_use_case(draft: Draft, project: Path) -> list[Path]:
    """Writes the folder of the use case and its Feast file; returns the files.

    Raises ConfigurationError, before anything is written, where the folder or the file exists.
    """
    folder, feast = project / "asof" / "use_cases" / draft.wish.name, project / "feature_repo" / f"{draft.wish.name}.py"
    if there := [path for path in (folder, feast) if path.exists()]:
        raise ConfigurationError(
            f"{there[0].relative_to(project)} exists, and is not overwritten: take another name, or move it away."
        )
    texts = {folder / name: name for name in TEMPLATES} | {feast: "feature_repo.py"}
    rendered = {path: _render(draft, template) for path, template in texts.items()}
    folder.mkdir()
    for path, text in rendered.items():
        write_whole(path, text, mode=0o644)
    _format([path for path in rendered if path.suffix == ".py"])
    return list(rendered)


def _render(draft: Draft, template: str) -> str:
    environment = Environment(
        loader=PackageLoader("scaffold"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python; HTML is escaped in its template
    )
    environment.filters |= {"text": python_text, "comment": _comment}
    return environment.get_template(f"{template}.jinja").render(_words(draft))


def _words(draft: Draft) -> Mapping[str, Any]:
    kinds = [key.profile.kind for key in draft.keys]
    example = {key.name: _value(key, draft.example[key.name]) for key in draft.keys}
    tables = [*draft.tables, draft.labels]
    types = sorted({column.feast_type for table in draft.tables for column in table.features})
    return {
        "draft": draft,
        "name": draft.wish.name,
        "prefix": draft.class_prefix,
        "label": draft.label.name,
        "example": repr(example),
        "example_answer": repr(example | _example_members(draft)),
        "target": draft.target,
        "target_class": draft.target,
        "target_code": _target_code(draft),
        **TARGETS[draft.target],
        "unknown": repr({key.name: UNKNOWN_KEYS[key.profile.kind] for key in draft.keys}),
        "key_types": [KEY_TYPES[kind] for kind in kinds],
        "python_types": [PYTHON_TYPES[kind] for kind in kinds],
        "value_types": [VALUE_TYPES[kind] for kind in kinds],
        "entity_names": [f"{draft.wish.name}_{key.name.removesuffix('_id')}" for key in draft.keys],
        "entity_code": repr(draft.keys[0].name if len(kinds) == 1 else tuple(key.name for key in draft.keys)),
        "feast_types": types,
        "column_code": partial(_column_code, draft),
        "source_code": partial(source_code, draft),
        "has_long_line": partial(_has_long_line, draft),
        "source_import": f"from asof.extracts.sources import {', '.join(_source_names(tables))}",
        "ttl_days": TTL_DAYS,
        "view_names": [f"{table.name}_fv" for table in draft.tables if table.features],
        "left_out": list(left_out(draft)),
    }


def _source_names(tables: Iterable[DraftTable]) -> list[str]:
    """What of `asof.extracts.sources` the declarations need."""
    files = {type(table.found.source) for table in tables} - {PostgresQuery}
    names = {type(table.found.source).__name__ for table in tables}
    return sorted(names | ({"ALL_OTHERS"} if files and any(_ignores(table) for table in tables) else set()))


def _ignores(table: DraftTable) -> bool:
    return len(table.columns) < len(table.found.columns)


def _has_long_line(draft: Draft, table: DraftTable) -> bool:
    """Whether a line of its query stays too long, as no formatter breaks a text."""
    is_query = isinstance(table.found.source, PostgresQuery)
    return is_query and any(len(line) > MAX_LINE for line in source_code(draft, table).splitlines())


def _target_code(draft: Draft) -> str:
    if draft.target == "Regression":
        return f"Regression({python_text(draft.label.name)})"
    names = sorted(draft.label.profile.values)
    return f"{draft.target}({tuple((draft.spelling and (f'no_{draft.label.name}', draft.label.name)) or names)!r})"


def _example_members(draft: Draft) -> dict[str, Any]:
    """Members of an answer, as the page of the service shows them."""
    name, values = draft.label.name, sorted(draft.label.profile.values)
    match draft.target:
        case "Binary":
            return {"probability": 0.62, name: True, "threshold": 0.31}
        case "Multiclass":
            return {"class": values[0], "probabilities": {each: float(each == values[0]) for each in values}}
    return {"value": 1.0, "interval": {"low": 0.5, "high": 1.5, "coverage": 0.9}, "unit": name}


def _column_code(draft: Draft, column: DraftColumn) -> str:
    """The Column of a raw schema; a number that is never negative must not become so."""
    profile, kind = column.profile, column.profile.kind
    options = ["nullable=True"] if profile.nulls else []
    if column.role == "label":
        kind = {"Binary": Kind.BOOLEAN, "Multiclass": Kind.TEXT, "Regression": Kind.NUMBER}[draft.target]
    if (column.role == "feature" and profile.category) or (column.role == "label" and kind is Kind.TEXT):
        options.append(f"allowed={tuple(sorted(profile.values))!r}")
    if profile.minimum is not None and profile.minimum >= 0 and column.role not in ("key", "label"):
        options.append("minimum=0")
    return f"Column({', '.join([python_text(column.name), f'Kind.{kind.name}', *options])})"


def _value(key: DraftColumn, text: str) -> str | int:
    return int(text) if key.profile.kind is Kind.INTEGER else text


def python_text(text: str) -> str:
    """A text as Python's source, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    """A text on one line, short enough for a comment beside a column."""
    return shorten(" ".join(text.split()), 60, placeholder=" ...")


def _format(files: list[Path]) -> None:
    """Formats the files as `make check` expects; where ruff is not installed they stay as rendered."""
    if find_spec("ruff"):
        command = [sys.executable, "-m", "ruff", "format", "--quiet", *map(str, files)]
        subprocess.run(command, check=True)  # noqa: S603

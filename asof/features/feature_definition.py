"""A registered feature view -> the text of its definition: what its values mean, one fact a line.

It is made of Feast's message of the view, so that training, which has Feast, and the service, which has not, get the
same text. Left out is what has no say in a value: names of sources, owners, descriptions; and what is read from the
registry whenever a value is judged: the ttl and the tag `staleness`. Which features a model takes, with their types, is
the rest of its contract.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

QUERY = "\nquery\n"
"""What stands before the SQL of a source; it is the end of the text."""
POLICY = "staleness"
QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*\n?|(?<![\w$])\$(\w*)\$.*?\$\2\$)|\s+""", re.DOTALL)
"""What is kept of a query as it is, or else blanks."""
MOST_LINES, MOST_CHARACTERS = 8, 120
"""Changed lines that are shown, and characters of each."""


def definition_of(spec: Any) -> str:
    """The text, from the `spec` of a registered view's message (`feast.core.FeatureViewSpec`)."""
    source = spec.batch_source
    lines = [
        *(f"key {column.name} {_type(column)}" for column in sorted(spec.entity_columns, key=lambda each: each.name)),
        f"time {source.timestamp_field}",
        *([f"created {source.created_timestamp_column}"] if source.created_timestamp_column else []),
        *([f"partition {source.date_partition_column}"] if source.date_partition_column else []),
        *(f"column {column} is {name}" for column, name in sorted(source.field_mapping.items())),
        *(f"tag {name}: {value}" for name, value in sorted(spec.tags.items()) if name != POLICY),
    ]
    return "\n".join(lines) + _rows(source)


def digest_of(definition: str) -> str:
    """SHA-256 of a definition: equal where two texts differ in nothing but blanks between the words of a query.

    Comments count, and so does every blank of a query that holds a backslash or a comment in `/*`: it is hard to tell
    there what is quoted.
    """
    head, _, query = definition.partition(QUERY)
    plain = query if "\\" in query or "/*" in query else QUOTED.sub(lambda found: found[1] or " ", query).strip()
    return hashlib.sha256(json.dumps([head, plain]).encode()).hexdigest()


def changed_lines(before: str, now: str) -> str:
    """The lines that are gone (`-`) and that are new (`+`), in one line of text of bounded length."""
    changes = [
        f"{line[0]} {_short(line[2:])}" for line in difflib.ndiff(_lines(before), _lines(now)) if line[0] in "-+"
    ]
    more = f" | and {len(changes) - MOST_LINES} more" if len(changes) > MOST_LINES else ""
    return " | ".join(changes[:MOST_LINES]) + more


def _lines(definition: str) -> list[str]:
    """Each column of a query on a line of its own."""
    return [line.strip().rstrip(",") for line in re.split(r"(?<=,)\s|\n", definition) if line.strip()]


def _short(line: str) -> str:
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"


def _type(column: Any) -> str:
    name: str = column.DESCRIPTOR.fields_by_name["value_type"].enum_type.values_by_number[column.value_type].name
    return name


def _rows(source: Any) -> str:
    """Where the rows come from: of a source of PostgreSQL its table or query, of another all that its message holds."""
    kind = source.WhichOneof("options")
    if kind != "custom_options":
        return f"\n{kind} {getattr(source, kind) if kind else ''}".rstrip()
    options = json.loads(source.custom_options.configuration)
    if options.get("table"):
        return f"\ntable {options['table']}"
    if options.get("query"):
        return QUERY + "\n".join(_trimmed(options["query"]))
    return f"\n{source.data_source_class_type} {json.dumps(options, sort_keys=True)}"


def _trimmed(query: str) -> Iterator[str]:
    yield from (line.rstrip() for line in query.strip().splitlines())

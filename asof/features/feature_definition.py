"""The text of a feature view's definition: everything that determines its values, one item a line.

It is made from the view's protobuf message, so that training, with Feast, and the service, without it, get the same
text. Left out is what does not affect a value (names of sources, owners, descriptions), what is read from the registry
for each verdict (the ttl, the tag `staleness`), and the features with their types, which the contract lists.
"""

import difflib
import hashlib
import json
import re
from typing import Any

QUERY = "\nquery\n"
"""Precedes the SQL of a source, which is the end of the text."""
POLICY_TAG = "staleness"
QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*\n?|(?<![\w$])\$(\w*)\$.*?\$\2\$)|\s+""", re.DOTALL)
"""Quoted text and comments of a query, which are kept as they are, or else blanks."""
MAX_LINES, MAX_LINE_LENGTH = 8, 120
"""Of a text of changes."""


def definition_of(spec: Any) -> str:
    """The text, from the `spec` of a registered view's message (`feast.core.FeatureViewSpec`)."""
    source = spec.batch_source
    lines = [
        *(f"key {column.name} {_type(column)}" for column in sorted(spec.entity_columns, key=lambda each: each.name)),
        f"time {source.timestamp_field}",
        *([f"created {source.created_timestamp_column}"] if source.created_timestamp_column else []),
        *([f"partition {source.date_partition_column}"] if source.date_partition_column else []),
        *(f"column {column} is {name}" for column, name in sorted(source.field_mapping.items())),
        *(f"tag {name}: {value}" for name, value in sorted(spec.tags.items()) if name != POLICY_TAG),
    ]
    return "\n".join(lines) + _rows(source)


def digest_of(definition: str) -> str:
    """SHA-256 of a definition, equal for texts that differ only in blanks between the words of a query.

    Comments are significant, and so is every blank of a query with a backslash or a `/*` comment, where it is hard to
    decide what is quoted.
    """
    head, _, query = definition.partition(QUERY)
    plain = query if "\\" in query or "/*" in query else QUOTED.sub(lambda found: found[1] or " ", query).strip()
    return hashlib.sha256(json.dumps([head, plain]).encode()).hexdigest()


def changed_lines(before: str, now: str) -> str:
    """The removed (`-`) and added (`+`) lines, as one line of bounded length."""
    changed = [line for line in difflib.ndiff(_lines(before), _lines(now)) if line[0] in "-+"]
    shown = [line if len(line) <= MAX_LINE_LENGTH else f"{line[:MAX_LINE_LENGTH]}…" for line in changed[:MAX_LINES]]
    more = [f"and {len(changed) - MAX_LINES} more"] if len(changed) > MAX_LINES else []
    return " | ".join([*shown, *more])


def _lines(definition: str) -> list[str]:
    """The lines, with one for each column of a query."""
    return [line.strip().rstrip(",") for line in re.split(r"(?<=,)\s|\n", definition) if line.strip()]


def _type(column: Any) -> str:
    name: str = column.DESCRIPTOR.fields_by_name["value_type"].enum_type.values_by_number[column.value_type].name
    return name


def _rows(source: Any) -> str:
    """The origin of the rows: the table or query of a PostgreSQL source, all options of another."""
    kind = source.WhichOneof("options")
    if kind != "custom_options":
        return f"\n{kind} {getattr(source, kind) if kind else ''}".rstrip()
    options = json.loads(source.custom_options.configuration)
    if options.get("table"):
        return f"\ntable {options['table']}"
    if options.get("query"):
        return QUERY + "\n".join(line.rstrip() for line in options["query"].strip().splitlines())
    return f"\n{source.data_source_class_type} {json.dumps(options, sort_keys=True)}"

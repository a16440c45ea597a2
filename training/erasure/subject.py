"""Whom to erase: an entity, or all entities with these values of some of several keys; and how to find them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any, NoReturn
from urllib.parse import quote

from psycopg import sql

from asof.errors import DataError
from asof.extracts.schema import Kind
from asof.features.entity_key import KeyValue, parse
from asof.features.join_keys import JoinKeys, keys_of_extract
from asof.use_case import UseCase

BESIDE = r"[\w.@+-]"
"""A character beside which a text is part of a longer id."""


@dataclass(frozen=True)
class Subject:
    """The values of one key, or of some or all of several. `joins` are all keys of the use case."""

    joins: JoinKeys
    keys: Mapping[str, KeyValue]

    @property
    def whole(self) -> bool:
        """Whether all keys are named, so that it is one entity."""
        return len(self.keys) == len(self.joins.keys)

    @property
    def text(self) -> str:
        """The canonical text of a whole entity."""
        return self.joins.text(self.joins.entity([self.keys[name] for name in self.joins.names]))

    def has(self, columns: Sequence[str]) -> bool:
        """Whether rows with these keys may be its own; those of other things, as of its merchant, are not."""
        return set(self.keys) <= set(columns)

    def where(self, columns: Mapping[str, str] | None = None) -> sql.Composed:
        """The condition on key columns, whose names may differ from those of the keys."""
        named = columns or {name: name for name in self.keys}
        each = [sql.SQL("{} = {}").format(sql.Identifier(named[n]), sql.Literal(v)) for n, v in self.keys.items()]
        return sql.SQL(" AND ").join(each)

    def where_text(self, column: sql.Composable) -> sql.Composed:
        """The condition on a column of entities' canonical texts: an id, or JSON of several keys."""
        if self.whole:
            return sql.SQL("{} = {}").format(column, sql.Literal(self.text))
        has = sql.SQL("(position({} in {}) > 0 OR position({} in {}) > 0)")
        each = [
            has.format(sql.Literal(f"{member},"), column, sql.Literal(f"{member}}}"), column)
            for member in self._members
        ]
        return sql.SQL(" AND ").join(each)

    def is_text(self, entity: str) -> bool:
        """Whether an entity's canonical text is of it."""
        if self.whole:
            return entity == self.text
        return all(f"{member}," in entity or f"{member}}}" in entity for member in self._members)

    def is_row(self, row: Mapping[str, Any]) -> bool:
        """Whether a row with a value for each key is its own; UUIDs may be of any case."""
        return all(name in row and _canonical(row[name], self.kind(name)) == value for name, value in self.keys.items())

    def is_json(self, entity: Any) -> bool:
        """Whether an entity in JSON (`JoinKeys.members`) is of it."""
        members = entity if isinstance(entity, Mapping) else {self.joins.names[0]: entity}
        return self.is_row(members)

    def kind(self, name: str) -> Kind:
        """The kind of a key."""
        return next(key.kind for key in self.joins.keys if key.name == name)

    def redacted(self, line: str) -> str | None:
        """A line of text that mentions the subject, with asterisks for its bytes; None for another line.

        It mentions all named values. One of digits alone counts only in quotes, or after its key's name and the like:
        elsewhere it may be any number.
        """
        if not all(mention.search(line) for mention in self._mentions):
            return None
        for mention in self._mentions:
            line = mention.sub(_covered, line)
        return line

    @cached_property
    def _mentions(self) -> list[re.Pattern[str]]:
        return [_mention(name, str(value), self.kind(name)) for name, value in self.keys.items()]

    @cached_property
    def _members(self) -> list[str]:
        return [json.dumps({name: value}, ensure_ascii=False)[1:-1] for name, value in self.keys.items()]


def subject_of(use_case: UseCase, text: str) -> Subject:
    """The subject of an argument: an id, or JSON of some of several keys. Raises DataError for another text."""
    joins = keys_of_extract(use_case.extract)
    if len(joins.keys) == 1:
        (key,) = joins.keys
        return Subject(joins, {key.name: _parsed(key.name, text, key.kind)})
    kinds = {key.name: key.kind for key in joins.keys}
    try:
        members = json.loads(text)
    except ValueError:
        members = None
    if not isinstance(members, Mapping) or not members or not members.keys() <= kinds.keys():
        _refuse(f"Entities of {use_case.name} have the keys {', '.join(kinds)}", kinds)
    return Subject(joins, {name: _parsed(name, str(members[name]), kinds[name]) for name in sorted(members)})


def _refuse(why: str, names: Mapping[str, Kind]) -> NoReturn:
    shown = json.dumps(dict.fromkeys(names, "..."))
    raise DataError(f"{why}: give JSON of all or some of them, as {shown}.")


def _mention(name: str, text: str, kind: Kind) -> re.Pattern[str]:
    """How a value stands in a text; the group `id` has the value, or `quoted`."""
    written = {text, quote(text, safe=""), quote(text), escape(text), json.dumps(text)[1:-1], repr(text)[1:-1]}
    either = "|".join(re.escape(each) for each in sorted(written, key=len, reverse=True))
    flags = re.IGNORECASE if kind is Kind.UUID else re.NOFLAG
    if text.lstrip("-").isdigit():
        before = rf"(?:{re.escape(name)}|entity|knows|/features/)[\s\"'\\=:()/]*"
        return re.compile(rf"{before}(?P<id>{either})(?![\w.])|'(?P<quoted>{either})'", flags)
    begins = rf"(?:(?<!{BESIDE})|(?<=\\[nrt]))"
    return re.compile(rf"{begins}(?P<id>{either})(?!{BESIDE}*\w)", flags)


def _covered(match: re.Match[str]) -> str:
    group = match.lastgroup or "id"
    begin, end = (each - match.start() for each in match.span(group))
    asterisks = "*" * len(match[group].encode(errors="surrogateescape"))
    return f"{match[0][:begin]}{asterisks}{match[0][end:]}"


def _parsed(name: str, text: str, kind: Kind) -> KeyValue:
    try:
        return parse(text, kind)
    except ValueError as error:
        raise DataError(f"This is no {name}: {error}.") from None


def _canonical(value: Any, kind: Kind) -> KeyValue:
    return str(value).lower() if kind is Kind.UUID else value

"""A folder of extracts -> the deliveries in it, each with the moment that it describes and when it was known."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from unicodedata import normalize

from asof.errors import DataError
from asof.extracts.cadence import MONTHLY, Cadence, Every, moment_of, moment_text
from training.data.extracts.files.data_files import data_files, delivered_tables

MOMENT = "[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?Z)?"
DELIVERY_NAME = re.compile(
    rf"(?:(?P<what>month|week|day|hour|labels)_(?:(?P<number>[0-9]{{1,4}})|(?P<dated>{MOMENT}))|(?P<bare>{MOMENT}))"
    r"(?:_r(?P<redelivery>[0-9]{1,4}))?",
    re.IGNORECASE,
)
MISTYPED_NAME = re.compile(r"(month|label|(?<![a-z])(week|day|hour))s?[\W_]*\d|^\d{4}-\d{1,2}-\d")
NAME_EXAMPLES = "month_000, month_2024-01-31, 2024-01-31T0600Z, labels_000 or month_000_r1"

LoadOrder = tuple[datetime, datetime, bool, int]
"""Sort key: known_at, as_of, labels after the users that they refer to, number of the redelivery."""


class Part(StrEnum):
    """Which tables one delivery loads: all, all but the labels, or only the labels."""

    WHOLE = "whole"
    FEATURES = "features"
    LABELS = "labels"


@dataclass(frozen=True)
class Delivery:
    """What to load; `folder` is None where all tables are queried.

    `as_of` is None if the queries' own moment is to be taken, `known_at` if that of the load is.
    """

    folder: Path | None
    as_of: datetime | None
    known_at: datetime | None
    part: Part = Part.WHOLE

    @property
    def name(self) -> str:
        """The folder's name, or the moment, and the part unless it is the whole."""
        name = self.folder.name if self.folder else moment_text(self.as_of) if self.as_of else "now"
        return name if self.part is Part.WHOLE else f"{name} ({self.part})"


def find_deliveries(
    folder: Path,
    *,
    first: date | None = None,
    backfill: bool = False,
    labels: str = "labels",
    features: Collection[str] = (),
    cadence: Cadence = MONTHLY,
) -> list[Delivery]:
    """The deliveries in a folder, in the order in which they were known.

    `month_000`, `month_001`, ... describe `first` and the month ends after it, `day_000`, ... the days;
    `month_2024-01-31`, `2024-01-31` or `2024-01-31T0600Z` names its own moment. `labels_000` holds only that moment's
    labels, `month_000_r1` is a redelivery. A folder that holds data files itself is one delivery, as of `first`.
    `labels` is the name of the labels' file, and `features` are those of the others, without their endings.

    With `backfill` each is taken as known when it could have been: an extract at its own moment, its n-th redelivery n
    steps of the cadence later, labels when the cadence says, and nothing later than now. A folder with labels is then
    two deliveries. Raises DataError if there is none, if `first` is needed and missing, and for all names that look
    like a delivery but are not one.
    """
    if delivered_tables(folder):
        folders = [_DeliveryFolder(folder, False, _required(first, folder), 0, cadence)]
        invalid = [f"{path.name!r} (beside data files)" for path in _visible(folder) if _looks_like_delivery(path)]
    else:
        matches = {p: match for p in _visible(folder) if p.is_dir() and (match := DELIVERY_NAME.fullmatch(p.name))}
        invalid = [*_misnamed(folder, matches), *_invalid_moments(matches, cadence)]
        folders = [] if invalid else [_parsed(path, match, first, cadence) for path, match in matches.items()]
        invalid += [*_duplicates(folders), *_future(folders)]
    if invalid:
        raise DataError(
            f"{folder} holds what looks like a delivery but is not one: {', '.join(invalid)}. A delivery is a folder "
            f"of data files named {NAME_EXAMPLES}: rename these, or move them away. Nothing was loaded."
        )
    if not folders:
        raise DataError(f"{folder} holds no {NAME_EXAMPLES}: is it the right folder?")
    parts = [part for each in folders for part in each.parts(labels, features, backfill=backfill)]
    return [delivery for _, delivery in sorted(parts, key=lambda part: part[0])]


def first_described(folder: Path, as_of: datetime, cadence: Cadence = MONTHLY) -> datetime | None:
    """The `first` with which a delivery in that folder describes `as_of`; None if its name holds the moment.

    For `month_000` it is `as_of`. For a later month any day of `first`'s month would do; the last one is returned.
    """
    match = DELIVERY_NAME.fullmatch(folder.name)
    if not match:
        return as_of
    return _step(match, cadence).after(as_of, -int(match["number"])) if match["number"] else None


def delivery_name(folder: Path) -> str:
    """What identifies a delivery among those of the same moment, wherever its folder is and however its name is
    written.

    The same for `month_000`, `Month_0` and `month_2024-01-31`; for any other folder its own name.
    """
    match = DELIVERY_NAME.fullmatch(folder.name)
    what = "labels" if match and _has_labels(match) else "month"
    return f"{what}_r{int(match['redelivery'] or 0)}" if match else folder.name


def anything_delivered(folder: Path) -> bool:
    """Whether a folder holds a delivery, or something that may be meant as one."""
    return bool(delivered_tables(folder)) or any(_looks_like_delivery(path) for path in _visible(folder))


@dataclass(frozen=True)
class _DeliveryFolder:
    """A folder and what its name says: whether it holds only labels, its moment, and the number of the redelivery."""

    folder: Path
    labels: bool
    as_of: datetime
    redelivery: int
    cadence: Cadence

    def parts(self, labels: str, features: Collection[str], *, backfill: bool) -> Iterator[tuple[LoadOrder, Delivery]]:
        tables = delivered_tables(self.folder)
        only_labels = self.labels or (tables == {labels} and labels not in features)
        if not backfill or only_labels or labels not in tables:
            yield self._part(Part.WHOLE, backfill=backfill, labels=only_labels)
        else:
            yield self._part(Part.FEATURES, backfill=True, labels=False)
            yield self._part(Part.LABELS, backfill=True, labels=True)

    def _part(self, part: Part, *, backfill: bool, labels: bool) -> tuple[LoadOrder, Delivery]:
        known = self._known(labels=labels)
        order = (known if backfill else self.as_of, self.as_of, labels, self.redelivery)
        # The files are here, so they are known by now, even if the n-th redelivery could have come later.
        return order, Delivery(
            self.folder, self.as_of, known if backfill and known <= datetime.now(UTC) else None, part
        )

    def _known(self, *, labels: bool) -> datetime:
        if labels:
            return self.cadence.labels_known(self.as_of, self.redelivery)
        return self.cadence.every.after(self.as_of, self.redelivery)


def _parsed(path: Path, match: re.Match[str], first: date | None, cadence: Cadence) -> _DeliveryFolder:
    if match["number"]:
        as_of = _step(match, cadence).after(_required(first, path), int(match["number"]))
    else:
        as_of = moment_of(datetime.fromisoformat((match["dated"] or match["bare"]).upper()))
    return _DeliveryFolder(path, _has_labels(match), as_of, int(match["redelivery"] or 0), cadence)


def _has_labels(match: re.Match[str]) -> bool:
    return (match["what"] or "").casefold() == "labels"


def _step(match: re.Match[str], cadence: Cadence) -> Every:
    """What a numbered name counts."""
    return cadence.every if _has_labels(match) else Every(match["what"].casefold())


def _visible(folder: Path) -> list[Path]:
    """The content of the folder by name, without hidden files and folders."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _looks_like_delivery(path: Path) -> bool:
    named = MISTYPED_NAME.search(normalize("NFKC", path.name).casefold())
    return bool(named) and path not in data_files(path.parent)


def _misnamed(folder: Path, deliveries: Collection[Path]) -> Iterator[str]:
    """Names that are nearly those of a delivery, and folders with files of the same names as a delivery's."""
    names = {path.name for path in deliveries}
    tables = {table for path in deliveries for table in delivered_tables(path)}
    for path in _visible(folder):
        if path in deliveries or (not path.is_dir() and path.name.partition(".")[0] in names):
            continue  # a file beside the folder of its name, such as a checksum or the archive that it came in
        if DELIVERY_NAME.fullmatch(path.name):
            yield f"{path.name!r} (no folder)"
        elif _looks_like_delivery(path) or (path.is_dir() and not tables.isdisjoint(delivered_tables(path))):
            yield repr(path.name)


def _invalid_moments(matches: dict[Path, re.Match[str]], cadence: Cadence) -> Iterator[str]:
    for path, match in matches.items():
        try:
            _parsed(path, match, date.min, cadence)
        except ValueError:
            yield f"{path.name!r} (no such day{' or time' if 'T' in path.name.upper() else ''})"


def _duplicates(folders: Iterable[_DeliveryFolder]) -> Iterator[str]:
    seen: dict[tuple[bool, datetime, int], Path] = {}
    for each in folders:
        if (other := seen.setdefault((each.labels, each.as_of, each.redelivery), each.folder)) != each.folder:
            yield f"{each.folder.name!r} (the same as {other.name!r})"


def _future(folders: Iterable[_DeliveryFolder]) -> Iterator[str]:
    for each in folders:
        if each.as_of > datetime.now(UTC):
            yield f"{each.folder.name!r} (as of {moment_text(each.as_of)}, which is in the future)"


def _required(first: date | None, folder: Path) -> datetime:
    if first is None:
        raise DataError(f"{folder} does not name its moment: give the date of the first one (--as-of 2024-01-31).")
    return moment_of(first)

"""A folder of extracts -> the deliveries in it, each with the moment that it describes and when it was known."""

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from unicodedata import normalize

from asof.errors import DataError

DELIVERY_NAME = re.compile(r"(month|labels)_([0-9]{1,4}|[0-9]{4}-[0-9]{2}-[0-9]{2})(?:_r([0-9]{1,4}))?", re.IGNORECASE)
ALMOST = re.compile(r"(month|label)s?[\W_]*\d")
FORMS = "month_000, month_2024-01-31, labels_000 or month_000_r1"


class Part(StrEnum):
    """What of a folder one delivery brings: all files, all but the labels, or the labels alone."""

    WHOLE = "whole"
    FEATURES = "features"
    LABELS = "labels"


@dataclass(frozen=True)
class Delivery:
    """What to load; `known_at` is None where it counts as known from the moment that it is loaded."""

    folder: Path
    as_of: datetime
    known_at: datetime | None
    part: Part = Part.WHOLE

    @property
    def name(self) -> str:
        """The folder's name, and which part of it where it is not the whole."""
        return self.folder.name if self.part is Part.WHOLE else f"{self.folder.name} ({self.part})"


def find_deliveries(
    folder: Path, *, first: date | None = None, backfill: bool = False, labels: str = "labels"
) -> list[Delivery]:
    """The deliveries in a folder, in the order in which they were known.

    `month_000`, `month_001`, ... describe `first` and the month ends after it; `month_2024-01-31` names its own
    moment. `labels_000` brings that month's labels alone, `month_000_r1` the whole month once more. A folder that
    holds CSV files itself is one delivery, as of `first`. `labels` is the name of the labels' file, without `.csv`.

    With `backfill` each counts as known when it could have been: a month at its own end, its n-th redelivery n months
    later, labels one month after the features that they came with, and nothing later than now. A month with its labels
    inside is two deliveries then. Raises DataError where there is none, where `first` is needed and missing, and where
    something looks like a delivery and is none: one sentence names them all.
    """
    if any(folder.glob("*.csv")):
        named = [_Named(folder, labels=False, described=_needed(first, folder), again=0)]
        strange = [f"{path.name!r} (beside CSV files)" for path in _listed(folder) if _looks_like_one(path)]
    else:
        matches = {
            path: match for path in _listed(folder) if path.is_dir() and (match := DELIVERY_NAME.fullmatch(path.name))
        }
        strange = [*_strangers(folder, matches), *_no_days(matches)]
        named = [] if strange else [_named(path, match, first) for path, match in matches.items()]
        strange += [*_twins(named), *_future(named)]
    if strange:
        raise DataError(
            f"{folder} holds what looks like a delivery and is none: {', '.join(strange)}. A delivery is a folder of "
            f"CSV files named {FORMS}: rename these, or move them away. Nothing was loaded."
        )
    if not named:
        raise DataError(f"{folder} holds no {FORMS}: is it the right folder?")
    parts = [part for each in named for part in each.parts(labels, backfill=backfill)]
    return [delivery for _, delivery in sorted(parts, key=lambda part: part[0])]


def first_described(folder: Path, as_of: date) -> date | None:
    """The `first` by which a delivery in that folder describes `as_of`; None where its name says it itself.

    Of `month_000` it is `as_of`; of a later one every day of `first`'s month would do, and it is the last.
    """
    match = DELIVERY_NAME.fullmatch(folder.name)
    if match and "-" in match[2]:
        return None
    return month_end(as_of, -int(match[2])) if match else as_of


def delivery_name(folder: Path) -> str:
    """What a delivery is called beside those of the same day, wherever its folder lies and however its name is written.

    `month_000`, `Month_0` and `month_2024-01-31` are one name; of any other folder it is the folder's own.
    """
    match = DELIVERY_NAME.fullmatch(folder.name)
    return f"{match[1].casefold()}_r{int(match[3] or 0)}" if match else folder.name


def anything_delivered(folder: Path) -> bool:
    """Whether a folder holds a delivery, or something that may be meant as one."""
    return any(path.suffix == ".csv" or _looks_like_one(path) for path in _listed(folder))


def month_end(start: date, months: int) -> date:
    """The last day of the month that lies `months` after that of `start`; `start` itself for 0."""
    if months == 0:
        return start
    years, month = divmod(start.month - 1 + months, 12)
    return date(start.year + years, month + 1, monthrange(start.year + years, month + 1)[1])


Turn = tuple[datetime, datetime, bool, int]
"""Known at, as of, labels after the users whom they are of, number of the redelivery."""


@dataclass(frozen=True)
class _Named:
    """A folder and what its name says: labels alone or a month, of which day, redelivered for which time."""

    folder: Path
    labels: bool
    described: date
    again: int

    @property
    def as_of(self) -> datetime:
        return _moment(self.described)

    @property
    def key(self) -> tuple[bool, date, int]:
        return self.labels, self.described, self.again

    def parts(self, labels: str, *, backfill: bool) -> Iterator[tuple[Turn, Delivery]]:
        files = {path.name for path in self.folder.glob("*.csv")}
        alone = self.labels or files == {f"{labels}.csv"}
        if not backfill or alone or f"{labels}.csv" not in files:
            yield self._part(Part.WHOLE, backfill=backfill, labels=alone)
        else:
            yield self._part(Part.FEATURES, backfill=True, labels=False)
            yield self._part(Part.LABELS, backfill=True, labels=True)

    def _part(self, part: Part, *, backfill: bool, labels: bool) -> tuple[Turn, Delivery]:
        known = _moment(month_end(self.described, self.again + labels)) if backfill else None
        turn = (known or self.as_of, self.as_of, labels, self.again)
        # What is here is known by now, however late the n-th redelivery could have come.
        return turn, Delivery(self.folder, self.as_of, known if known and known <= datetime.now(UTC) else None, part)


def _named(path: Path, match: re.Match[str], first: date | None) -> _Named:
    what, when, again = match.groups()
    described = date.fromisoformat(when) if "-" in when else month_end(_needed(first, path), int(when))
    return _Named(path, labels=what.casefold() == "labels", described=described, again=int(again or 0))


def _listed(folder: Path) -> list[Path]:
    """What the folder holds, by name; hidden files and folders aside."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _looks_like_one(path: Path) -> bool:
    return not path.name.endswith(".csv") and bool(ALMOST.search(normalize("NFKC", path.name).casefold()))


def _strangers(folder: Path, taken: Iterable[Path]) -> Iterator[str]:
    """Names that are nearly those of a delivery, and folders that hold the files of one."""
    names = {path.name for path in taken}
    files = {file.name for path in taken for file in path.glob("*.csv")}
    for path in _listed(folder):
        if path in taken or (not path.is_dir() and path.name.partition(".")[0] in names):
            continue  # a file beside a folder of its name, as a checksum or the archive that it came in
        if DELIVERY_NAME.fullmatch(path.name):
            yield f"{path.name!r} (no folder)"
        elif _looks_like_one(path) or (path.is_dir() and any(file.name in files for file in path.glob("*.csv"))):
            yield repr(path.name)


def _no_days(matches: dict[Path, re.Match[str]]) -> Iterator[str]:
    for path, match in matches.items():
        try:
            _named(path, match, date.min)
        except ValueError:
            yield f"{path.name!r} (no such day)"


def _twins(named: Iterable[_Named]) -> Iterator[str]:
    seen: dict[tuple[bool, date, int], Path] = {}
    for each in named:
        if (other := seen.setdefault(each.key, each.folder)) != each.folder:
            yield f"{each.folder.name!r} (the same as {other.name!r})"


def _future(named: Iterable[_Named]) -> Iterator[str]:
    for each in named:
        if each.as_of > datetime.now(UTC):
            yield f"{each.folder.name!r} (as of {each.described}, which is in the future)"


def _needed(first: date | None, folder: Path) -> date:
    if first is None:
        raise DataError(
            f"{folder} does not name its month: say which moment the first one describes (--as-of 2024-01-31)."
        )
    return first


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

"""A folder of extracts -> the deliveries in it, each with the moment that it describes and when it was known."""

import re
from calendar import monthrange
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from unicodedata import normalize

from asof.errors import DataError

DELIVERY_NAME = re.compile(r"(month|labels)_([0-9]{1,4}|[0-9]{4}-[0-9]{2}-[0-9]{2})(?:_r([0-9]{1,4}))?", re.IGNORECASE)
MISTYPED_NAME = re.compile(r"(month|label)s?[\W_]*\d")
NAME_EXAMPLES = "month_000, month_2024-01-31, labels_000 or month_000_r1"

LoadOrder = tuple[datetime, datetime, bool, int]
"""Sort key: known_at, as_of, labels after the users that they refer to, number of the redelivery."""


class Part(StrEnum):
    """Which files of a folder one delivery loads: all, all but the labels, or only the labels."""

    WHOLE = "whole"
    FEATURES = "features"
    LABELS = "labels"


@dataclass(frozen=True)
class Delivery:
    """What to load; `known_at` is None if the moment of the load is to be taken."""

    folder: Path
    as_of: datetime
    known_at: datetime | None
    part: Part = Part.WHOLE

    @property
    def name(self) -> str:
        """The folder's name, and the part unless it is the whole."""
        return self.folder.name if self.part is Part.WHOLE else f"{self.folder.name} ({self.part})"


def find_deliveries(
    folder: Path, *, first: date | None = None, backfill: bool = False, labels: str = "labels"
) -> list[Delivery]:
    """The deliveries in a folder, in the order in which they were known.

    `month_000`, `month_001`, ... describe `first` and the month ends after it; `month_2024-01-31` names its own
    date. `labels_000` holds only that month's labels, `month_000_r1` is a redelivery of the month. A folder that
    holds CSV files itself is one delivery, as of `first`. `labels` is the name of the labels' file, without `.csv`.

    With `backfill` each is taken as known when it could have been: a month at its own end, its n-th redelivery n months
    later, labels one month after the features in the same folder, and nothing later than now. A month with labels is
    then two deliveries. Raises DataError if there is none, if `first` is needed and missing, and for all names that
    look like a delivery but are not one.
    """
    if any(folder.glob("*.csv")):
        folders = [_DeliveryFolder(folder, labels=False, day=_required(first, folder), redelivery=0)]
        invalid = [f"{path.name!r} (beside CSV files)" for path in _visible(folder) if _looks_like_delivery(path)]
    else:
        matches = {p: match for p in _visible(folder) if p.is_dir() and (match := DELIVERY_NAME.fullmatch(p.name))}
        invalid = [*_misnamed(folder, matches), *_invalid_dates(matches)]
        folders = [] if invalid else [_parsed(path, match, first) for path, match in matches.items()]
        invalid += [*_duplicates(folders), *_future(folders)]
    if invalid:
        raise DataError(
            f"{folder} holds what looks like a delivery but is not one: {', '.join(invalid)}. A delivery is a folder "
            f"of CSV files named {NAME_EXAMPLES}: rename these, or move them away. Nothing was loaded."
        )
    if not folders:
        raise DataError(f"{folder} holds no {NAME_EXAMPLES}: is it the right folder?")
    parts = [part for each in folders for part in each.parts(labels, backfill=backfill)]
    return [delivery for _, delivery in sorted(parts, key=lambda part: part[0])]


def first_described(folder: Path, as_of: date) -> date | None:
    """The `first` with which a delivery in that folder describes `as_of`; None if its name holds the date.

    For `month_000` it is `as_of`. For a later month any day of `first`'s month would do; the last one is returned.
    """
    match = DELIVERY_NAME.fullmatch(folder.name)
    if match and "-" in match[2]:
        return None
    return month_end(as_of, -int(match[2])) if match else as_of


def delivery_name(folder: Path) -> str:
    """What identifies a delivery among those of the same day, wherever its folder is and however its name is written.

    The same for `month_000`, `Month_0` and `month_2024-01-31`; for any other folder its own name.
    """
    match = DELIVERY_NAME.fullmatch(folder.name)
    return f"{match[1].casefold()}_r{int(match[3] or 0)}" if match else folder.name


def anything_delivered(folder: Path) -> bool:
    """Whether a folder holds a delivery, or something that may be meant as one."""
    return any(path.suffix == ".csv" or _looks_like_delivery(path) for path in _visible(folder))


def month_end(start: date, months: int) -> date:
    """The last day of the month that is `months` after that of `start`; `start` itself for 0."""
    if months == 0:
        return start
    years, month = divmod(start.month - 1 + months, 12)
    return date(start.year + years, month + 1, monthrange(start.year + years, month + 1)[1])


@dataclass(frozen=True)
class _DeliveryFolder:
    """A folder and what its name says: only labels or a month, which date, and the number of the redelivery."""

    folder: Path
    labels: bool
    day: date
    redelivery: int

    @property
    def as_of(self) -> datetime:
        return _midnight(self.day)

    def parts(self, labels: str, *, backfill: bool) -> Iterator[tuple[LoadOrder, Delivery]]:
        files = {path.name for path in self.folder.glob("*.csv")}
        only_labels = self.labels or files == {f"{labels}.csv"}
        if not backfill or only_labels or f"{labels}.csv" not in files:
            yield self._part(Part.WHOLE, backfill=backfill, labels=only_labels)
        else:
            yield self._part(Part.FEATURES, backfill=True, labels=False)
            yield self._part(Part.LABELS, backfill=True, labels=True)

    def _part(self, part: Part, *, backfill: bool, labels: bool) -> tuple[LoadOrder, Delivery]:
        known = _midnight(month_end(self.day, self.redelivery + labels)) if backfill else None
        order = (known or self.as_of, self.as_of, labels, self.redelivery)
        # The files are here, so they are known by now, even if the n-th redelivery could have come later.
        return order, Delivery(self.folder, self.as_of, known if known and known <= datetime.now(UTC) else None, part)


def _parsed(path: Path, match: re.Match[str], first: date | None) -> _DeliveryFolder:
    what, when, redelivery = match.groups()
    described = date.fromisoformat(when) if "-" in when else month_end(_required(first, path), int(when))
    return _DeliveryFolder(path, what.casefold() == "labels", described, int(redelivery or 0))


def _visible(folder: Path) -> list[Path]:
    """The content of the folder by name, without hidden files and folders."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _looks_like_delivery(path: Path) -> bool:
    return not path.name.endswith(".csv") and bool(MISTYPED_NAME.search(normalize("NFKC", path.name).casefold()))


def _misnamed(folder: Path, deliveries: Collection[Path]) -> Iterator[str]:
    """Names that are nearly those of a delivery, and folders with files of the same names as a delivery's."""
    names = {path.name for path in deliveries}
    files = {file.name for path in deliveries for file in path.glob("*.csv")}
    for path in _visible(folder):
        if path in deliveries or (not path.is_dir() and path.name.partition(".")[0] in names):
            continue  # a file beside the folder of its name, such as a checksum or the archive that it came in
        if DELIVERY_NAME.fullmatch(path.name):
            yield f"{path.name!r} (no folder)"
        elif _looks_like_delivery(path) or (path.is_dir() and any(file.name in files for file in path.glob("*.csv"))):
            yield repr(path.name)


def _invalid_dates(matches: dict[Path, re.Match[str]]) -> Iterator[str]:
    for path, match in matches.items():
        try:
            _parsed(path, match, date.min)
        except ValueError:
            yield f"{path.name!r} (no such day)"


def _duplicates(folders: Iterable[_DeliveryFolder]) -> Iterator[str]:
    seen: dict[tuple[bool, date, int], Path] = {}
    for each in folders:
        if (other := seen.setdefault((each.labels, each.day, each.redelivery), each.folder)) != each.folder:
            yield f"{each.folder.name!r} (the same as {other.name!r})"


def _future(folders: Iterable[_DeliveryFolder]) -> Iterator[str]:
    for each in folders:
        if each.as_of > datetime.now(UTC):
            yield f"{each.folder.name!r} (as of {each.day}, which is in the future)"


def _required(first: date | None, folder: Path) -> date:
    if first is None:
        raise DataError(f"{folder} does not name its month: give the date of the first one (--as-of 2024-01-31).")
    return first


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

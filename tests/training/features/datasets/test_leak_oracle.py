"""Random deliveries, as files, against an oracle in memory: training sets and the online store, cell by cell.

Months are delivered up to thirteen times, with labels inside or beside, rows left out and rows that come late, values
that go back and forth, moments of zones with half hours, and one moment of knowledge for several months. The oracle
knows nothing of tables: of each cell it takes the newest value that had been delivered by then.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from asof.errors import TrainingSetError
from asof.extracts.schema import Column, Kind
from asof.features.feature_store import feature_store, read_contract
from asof.settings import Settings, export
from asof.use_cases import load
from asof.use_cases.churn.raw_schema import CONTRACTS
from tests.kits.data.parity import database_copy
from training.data.extracts.deliveries import find_deliveries
from training.data.snapshots.snapshot import take_snapshot
from training.data.snapshots.tables import prepare_tables
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise

STORES = ("online_store.store.WideOnlineStore", "postgres")
CHURN = load("churn")
EXTRACT = CHURN.extract
TABLES = {table.name: table for table in (*EXTRACT.tables, EXTRACT.labels)}
USERS = [f"user-{number}" for number in range(9)]
ZONES = ("Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham", "UTC")
MONTHS = 4
TTL = {"users": timedelta(days=400)}
MOMENT = timedelta(microseconds=1)

Row = dict[str, Any]
Content = dict[str, dict[str, Row]]
"""What one delivery holds: by table and user."""


class Event(NamedTuple):
    """A row of a user, delivered: what it describes, and when it was known; `number` orders two that came later."""

    as_of: datetime
    known_at: datetime
    number: int
    row: Row


# --- the oracle


@dataclass
class Oracle:
    """All that was ever delivered, in memory."""

    events: dict[tuple[str, str], list[Event]] = field(default_factory=dict)
    places: dict[tuple[str, str], Any] = field(default_factory=dict)
    count: int = 0

    def deliver(self, place: str, content: Content, as_of: datetime, known_at: dict[str, datetime]) -> None:
        """A file counts unless it is what its place brought last."""
        for table, rows in content.items():
            if self.places.get((place, table)) == rows:
                continue
            self.places[place, table] = rows
            for user, row in rows.items():
                self.count += 1
                event = Event(as_of, known_at[table], self.count, row)
                self.events.setdefault((table, user), []).append(event)

    def newest(self, table: str, user: str, as_of: datetime, known_at: datetime) -> Event | None:
        """Of the newest moment up to `as_of` the version that was known last by `known_at`."""
        known = [each for each in self.events.get((table, user), []) if each.as_of <= as_of]
        return max((each for each in known if each.known_at <= known_at), key=lambda each: each[:3], default=None)

    def cells(self, user: str, as_of: datetime, known_at: datetime, *, ttl: bool) -> dict[str, tuple[Any, Any]]:
        """By feature the value and the moment that it describes; a feature of which nothing is known is left out."""
        values: dict[str, tuple[Any, Any]] = {}
        for table in EXTRACT.tables:
            event = self.newest(table.name, user, as_of, known_at)
            if event and not (ttl and event.as_of < as_of - TTL.get(table.name, timedelta(days=45))):
                values |= {name: (value, event.as_of) for name, value in features_of(event.row).items()}
        return values

    def labels(self, as_of: datetime, known_at: datetime) -> dict[str, bool]:
        """Of each user who has one of that very moment."""
        found = {user: self.newest("labels", user, as_of, known_at) for user in USERS}
        return {user: each.row["churn_label"] for user, each in found.items() if each and each.as_of == as_of}


def features_of(row: Row) -> Row:
    """As feature_repo/ makes them: a plan is not applicable without internet."""
    plans = {name: row[name] for name in ("plan_stream_tv", "plan_stream_movies") if name in row}
    without = row.get("net_service") == "No"
    words = {True: "yes", False: "no", None: None}
    return row | {name: "not applicable" if without else words[value] for name, value in plans.items()}


# --- deliveries


def cell(luck: Random, column: Column) -> Any:
    """Few values, so that they come back."""
    if column.nullable and luck.random() < 0.2:
        return None
    kinds = {
        Kind.INTEGER: (0, 1, 7),
        Kind.NUMBER: (0.0, 0.1, 36.25),
        Kind.BOOLEAN: (True, False),
        Kind.DATE: ("2019-02-28", "2020-02-29"),
        Kind.TEXT: column.allowed or CONTRACTS,
    }
    return luck.choice(kinds[column.kind])


def content(luck: Random, users: Sequence[str], *, labels: bool) -> Content:
    """A delivery: everybody in the file of users, some left out elsewhere; of the labels both classes."""
    drawn: Content = {}
    for name, table in TABLES.items():
        if name == "labels" and not labels:
            continue
        there = [user for user in users if name in ("users", "labels") or luck.random() < 0.8] or [users[0]]
        drawn[name] = {user: {each.name: cell(luck, each) for each in table.columns[1:]} for user in there}
    for row in drawn["subscriptions"].values():
        gone = row["net_service"] == "No"
        for plan in ("plan_stream_tv", "plan_stream_movies"):
            row[plan] = None if gone else luck.choice((True, False))
    if labels:
        drawn["labels"] |= {user: {"churn_label": label} for user, label in zip(users, (True, False), strict=False)}
    return drawn


def write(folder: Path, delivered: Content) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.csv"):
        old.unlink()
    for name, rows in delivered.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([column.name for column in TABLES[name].columns])
            writer.writerows([user, *row.values()] for user, row in rows.items())


@dataclass
class Scene:
    """A database that is filled step by step, and the oracle beside it."""

    settings: Settings
    folder: Path
    luck: Random
    oracle: Oracle = field(default_factory=Oracle)
    moments: list[datetime] = field(default_factory=list)

    def month_end(self, month: int) -> pd.Timestamp:
        return pd.Timestamp("2022-01-31") + pd.offsets.MonthEnd(month)

    def some_users(self) -> list[str]:
        """Two of them always."""
        return USERS[:2] + [user for user in USERS[2:] if self.luck.random() < 0.8]

    def deliver_by_name(self, month: int) -> None:
        """A folder month_N with its redeliveries, all ingested at once, and once more."""
        root, as_of = self.folder / f"named-{month}", self.month_end(month).tz_localize(UTC).to_pydatetime()
        users, inside = self.some_users(), self.luck.random() < 0.5
        pool = [content(self.luck, users, labels=inside) for _ in range(2)]
        numbers = sorted({1, self.luck.randrange(2, 10), self.luck.randrange(10, 13)})
        names = {f"month_{month:03}" + (f"_r{n}" if n else ""): n for n in (0, *numbers)}
        contents = {name: self.luck.choice(pool) for name in names}
        if not inside:
            names[f"labels_{month:03}"] = 0
            contents[f"labels_{month:03}"] = {"labels": content(self.luck, users, labels=True)["labels"]}
        for name in self.luck.sample(list(contents), len(contents)):
            write(root / name, contents[name])
        self.ingest(root, names, contents, as_of=as_of, backfill=month < MONTHS / 2)
        back_and_forth = f"month_{month:03}"
        for each in (*pool, pool[0]):
            write(root / back_and_forth, each)
            self.ingest(root, names, contents | {back_and_forth: each}, as_of=as_of, backfill=False)

    def ingest(self, root: Path, names: dict[str, int], contents: dict[str, Content], **times: Any) -> None:
        as_of, months = times["as_of"], list[int]()
        first = self.month_end(0).date()
        for each in find_deliveries(root, first=first, backfill=times["backfill"]):
            done = take_snapshot(
                self.settings, EXTRACT, each.folder, as_of=each.as_of, known_at=each.known_at, part=each.part
            )
            assert each.as_of == as_of
            known = {table: self.known(names[each.folder.name], table, done.known_at, **times) for table in TABLES}
            came = {table: rows for table, rows in contents[each.folder.name].items() if table in done.rows}
            assert {known[table] for table in came} == {done.known_at}
            months += [names[each.folder.name]] if "users" in came else []
            self.oracle.deliver(str(each.folder), came, as_of, known)
            self.moments.append(done.known_at)
        assert months == sorted(names.values())[-len(months) :], "redeliveries come in the order of their numbers"

    def known(self, number: int, table: str, now: datetime, *, as_of: datetime, backfill: bool) -> datetime:
        """When it could have been known: labels a month after the features."""
        if not backfill:
            return now
        later = number + (table == "labels")
        return (pd.Timestamp(as_of).tz_localize(None) + pd.offsets.MonthEnd(later)).tz_localize(UTC).to_pydatetime()

    def deliver_by_moment(self, month: int) -> datetime:
        """One folder delivered again and again, at moments of a zone of its own; gives the moment that it describes."""
        zone, folder = ZoneInfo(self.luck.choice(ZONES)), self.folder / f"place-{month}"
        as_of = self.month_end(month).tz_localize(zone).to_pydatetime()
        pool = [content(self.luck, self.some_users(), labels=True) for _ in range(3)]
        shared = [self.month_end(MONTHS + 1 + each).tz_localize(UTC).to_pydatetime() for each in range(2)]
        late = [as_of + timedelta(minutes=self.luck.choice((0, 1, 30, 690, 50_000))) for _ in range(3)]
        for known_at in sorted({*late, *shared}):
            drawn = self.luck.choice(pool)
            write(folder, drawn)
            take_snapshot(self.settings, EXTRACT, folder, as_of=as_of, known_at=known_at.astimezone(zone))
            self.oracle.deliver(str(folder), drawn, as_of, dict.fromkeys(TABLES, known_at))
            self.moments.append(known_at)
        return as_of

    # --- what is held against the oracle

    def compare_training_set(self, as_of: datetime, known_at: datetime, service: str) -> int:
        """Every cell of the set; gives their number."""
        labels = self.oracle.labels(as_of, known_at)
        if known_at < as_of or len(set(labels.values())) < 2:
            with pytest.raises(TrainingSetError):
                build_training_set(self.settings, CHURN, as_of, known_at=known_at, feature_service=service)
            return 0
        built = build_training_set(self.settings, CHURN, as_of, known_at=known_at, feature_service=service)
        frame = built.frame.astype(object).where(built.frame.notna(), None)
        found = {row["user_id"]: row for row in frame.to_dict("records")}
        cells = {user: self.oracle.cells(user, as_of, known_at, ttl=True) for user in labels}
        expected = {
            user: {"user_id": user, "churn_label": label}
            | {name: cells[user].get(name, (None, None))[0] for name in built.contract.names}
            for user, label in labels.items()
        }
        assert found == expected, f"as of {as_of}, known at {known_at}"
        return frame.size

    def compare_online(self, as_of: datetime) -> int:
        """Every feature of every user in both stores; gives their number."""
        stores = (self.settings.model_copy(update={"online_store": name}) for name in STORES)
        return sum(self.compare_store(settings, as_of) for settings in stores)

    def compare_store(self, settings: Settings, as_of: datetime) -> int:
        """Of every feature the value, and the moment that it describes."""
        materialise(settings, as_of=as_of)
        with feature_store(settings) as store:
            contracts = [read_contract(store, store.get_feature_service(name)) for name in ("churn_v1", "churn_v2")]
            names = sorted({(each.view, each.name) for contract in contracts for each in contract.features})
            asked = [f"{view}:{name}" for view, name in names]
            answer = store.get_online_features(asked, [{"user_id": user} for user in USERS])
        online = answer.to_dict(include_event_timestamps=True)
        now = datetime.now(UTC)
        for number, user in enumerate(USERS):
            expected = self.oracle.cells(user, as_of, now, ttl=False)
            for _, name in names:
                value, moment = expected.get(name, (None, None))
                assert online[name][number] == value, f"{name} of {user} as of {as_of}"
                if moment:
                    seconds = online[f"{name}__ts"][number]
                    assert datetime.fromtimestamp(seconds, UTC) == moment, f"{name} of {user} as of {as_of}"
        return len(USERS) * len(names)


@pytest.fixture(scope="module")
def empty(settings: Settings) -> Settings:
    """A database with the tables and the features in both online stores, and no row."""
    export(settings)
    prepare_tables(settings, EXTRACT)
    for name in STORES:
        apply_features(settings.model_copy(update={"online_store": name}))
    return settings


@pytest.fixture
def scene(empty: Settings, seed: int, tmp_path: Path) -> Iterator[Scene]:
    with database_copy(empty) as settings:
        yield Scene(settings, tmp_path, Random(seed))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 20))])
def test_every_cell_is_what_had_been_delivered_by_then(scene: Scene, seed: int) -> None:
    luck, described, cells, online = scene.luck, list[datetime](), 0, 0
    for month in luck.sample(range(MONTHS), MONTHS):  # in any order
        if month % 2 == seed % 2:
            scene.deliver_by_name(month)
            described.append(scene.month_end(month).tz_localize(UTC).to_pydatetime())
        else:
            described.append(scene.deliver_by_moment(month))
        online += scene.compare_online(luck.choice([*described, datetime.now(UTC)]))
    for moment in (min(described) - MOMENT, min(described), max(described) - MOMENT, datetime.now(UTC)):
        online += scene.compare_online(moment)
    for as_of in described:
        for known_at in luck.sample(sorted({*scene.moments}), 3):
            for each in (known_at - MOMENT, known_at):
                cells += scene.compare_training_set(as_of, each, luck.choice(("churn_v1", "churn_v2")))
    assert cells > 500, "else little was compared"
    assert online > 1000

"""Raw tables that are queried on another server: what is read, recorded and refused."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st
from pydantic import SecretStr

from asof.errors import ConfigurationError, DataError, ExtractError, HistoryError, SourceError
from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.extracts.sources import CsvFile, PostgresQuery
from asof.settings import Settings
from tests.kits.data.extracts import fetch
from tests.kits.data.sources import FAILED, KEY, SHOP, SHOPPERS, fill, queried, run
from training.audit.lineage.loads import Loads, OnDisk
from training.data.extracts.deliveries import Part
from training.data.extracts.moments import moment_deliveries
from training.data.snapshots.append import Times
from training.data.snapshots.queries.reading import read_query
from training.data.snapshots.queries.servers import Server, described_moment, open_servers, require_replayed
from training.data.snapshots.snapshot import Snapshot, take_snapshot

DAY = timedelta(days=1)
JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)
LIVE = replace(SHOP, tables=(queried(SHOPPERS, "SELECT shopper, joined FROM people"),))
"""Of the present, without parameters."""


@pytest.fixture
def database(shop: Settings) -> Iterator[Settings]:
    """The shop with three people and three payments, and a database without any table."""
    people = [("ann", date(2023, 1, 1), JANUARY - 9 * DAY), ("bob", date(2023, 2, 1), JANUARY - 9 * DAY)]
    people += [("eve", date(2024, 2, 1), FEBRUARY)]
    paid = [("ann", JANUARY - 2 * DAY, 10.5, JANUARY - DAY), ("ann", JANUARY - 100 * DAY, 1, JANUARY - 99 * DAY)]
    paid += [("bob", JANUARY - DAY, 3, FEBRUARY)]
    fill(shop, people=people, payments=paid, goodbyes=[("bob", JANUARY + DAY, JANUARY + 2 * DAY)])
    yield shop
    with psycopg.connect(shop.conninfo()) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def load(settings: Settings, schema: ExtractSchema = SHOP, as_of: datetime | None = None, **options: Any) -> Snapshot:
    return take_snapshot(settings, schema, None, as_of=as_of, **options)


def tables(settings: Settings) -> list[Any]:
    return fetch(settings, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


# --- what is read


def test_live_tables_are_read_as_of_now(database: Settings) -> None:
    before = datetime.now(UTC)
    snapshot = load(database, LIVE)

    assert before < snapshot.as_of <= snapshot.known_at < datetime.now(UTC)
    assert snapshot.rows == snapshot.new_rows == {"shoppers": 3}
    assert fetch(database, "SELECT shopper, joined FROM shoppers ORDER BY 1")[0] == ("ann", date(2023, 1, 1))


def test_an_event_table_gives_what_had_happened_and_was_recorded(database: Settings) -> None:
    load(database, as_of=JANUARY, known_at=JANUARY, part=Part.FEATURES)
    assert fetch(database, "SELECT * FROM failed_payments ORDER BY shopper") == [("ann", JANUARY, JANUARY, 1, 10.5)]

    load(database, as_of=JANUARY, known_at=FEBRUARY)
    added = fetch(
        database, f"SELECT shopper, failed_90d, amount_90d FROM failed_payments WHERE created_at = '{FEBRUARY}'"
    )
    assert added == [("bob", 1, 3.0)]
    assert fetch(database, "SELECT shopper, left_shop FROM goodbyes_month ORDER BY 1") == [
        ("ann", False),
        ("bob", True),
    ]


def test_labels_are_left_out_until_they_can_be_known(database: Settings) -> None:
    assert "goodbyes_month" not in load(database, as_of=datetime.now(UTC) - DAY).rows
    assert "goodbyes_month" in load(database, as_of=JANUARY).rows


def test_all_queries_of_a_load_see_one_moment(database: Settings) -> None:
    seen: list[Any] = []
    times = Times(FEBRUARY, datetime.now(UTC))
    with open_servers(database, {"source"}) as servers:
        run(database, "DELETE FROM people WHERE shopper = 'bob'")
        checked = read_query(servers["source"], SHOPPERS, times, lambda rows: seen.extend(rows["shopper"].to_pylist()))

    assert seen == ["ann", "bob", "eve"]
    assert checked.findings == ()


def test_the_source_is_only_read(database: Settings) -> None:
    writes = queried(SHOPPERS, "SELECT shopper, joined FROM people, set_config('a.b', nextval('hits')::text, false)")
    run(database, "CREATE SEQUENCE IF NOT EXISTS hits")
    with pytest.raises(SourceError, match="read-only transaction"):
        load(database, replace(LIVE, tables=(writes,)))


def test_what_was_read_is_recorded_without_a_password(database: Settings) -> None:
    snapshot = load(database, as_of=JANUARY, part=Part.FEATURES)

    ((folder, files),) = fetch(database, "SELECT folder, files FROM loads")
    facts = files["failed_payments"]
    url = database.source_url.get_secret_value() if database.source_url else ""
    assert folder == "queries"
    assert (facts["rows"], facts["new_rows"], facts["query"]) == (2, 2, FAILED.source.query)
    assert re.fullmatch(r"127\.0\.0\.1:\d+/shop_\w+", facts["server"])
    assert re.fullmatch(r"\d+:\d+:[\d,]*", facts["snapshot"])
    assert facts["sha256"] == snapshot.files["failed_payments"]
    assert psycopg.conninfo.conninfo_to_dict(url)["password"] not in str(files)


def test_a_row_is_traced_to_its_query_and_the_digest_can_be_made_again(database: Settings) -> None:
    load(database, as_of=JANUARY, known_at=JANUARY, part=Part.FEATURES)

    with psycopg.connect(database.conninfo()) as connection:
        traced = Loads(connection).of("shoppers", JANUARY, JANUARY)
    assert traced is not None
    assert (traced.file, traced.on_disk, traced.query) == ("shoppers", OnDisk.QUERIED, SHOPPERS.source.query)
    rows = "SELECT shopper, joined FROM people WHERE joined < '2024-01-31' AND noted <= '2024-01-31T00:00Z'"
    copy = f'COPY ({rows} ORDER BY shopper COLLATE "C") TO STDOUT (FORMAT csv)'
    with psycopg.connect(database.source_conninfo("source")) as connection, connection.cursor().copy(copy) as out:
        assert hashlib.sha256(b"".join(map(bytes, out))).hexdigest() == traced.sha256


def test_rows_that_are_unchanged_add_nothing_and_a_changed_one_is_a_correction(database: Settings) -> None:
    load(database, as_of=JANUARY)
    assert load(database, as_of=JANUARY).load_id is None

    run(database, "UPDATE payments SET amount = 11 WHERE amount = 10.5")
    assert load(database, as_of=JANUARY).new_rows == {"shoppers": 0, "failed_payments": 1, "goodbyes_month": 0}
    with pytest.raises(HistoryError, match="has changed since it was loaded as known at"):
        load(database, as_of=JANUARY, known_at=JANUARY, part=Part.FEATURES)


def test_the_digest_is_that_of_the_rows_whatever_their_order(database: Settings) -> None:
    first = load(database, LIVE).files
    backwards = queried(SHOPPERS, "SELECT joined::timestamp::date AS joined, shopper FROM people ORDER BY 2 DESC")
    assert load(database, replace(LIVE, tables=(backwards,))).files == first


def test_values_keep_or_lose_their_types_as_those_of_a_file_do(database: Settings) -> None:
    columns = (KEY, Column("n", Kind.INTEGER), Column("x", Kind.NUMBER), Column("b", Kind.BOOLEAN))
    good = "('a', 1.0::numeric, 1.5::numeric, 'TRUE'), ('b', 2::numeric, 2::numeric, 'f'||'alse')"
    users = queried(RawTable("shoppers", columns), f"SELECT * FROM (VALUES {good}) AS v (shopper, n, x, b)")
    load(database, replace(LIVE, tables=(users,)))
    assert fetch(database, "SELECT n, x, b FROM shoppers ORDER BY 1") == [(1, 1.5, True), (2, 2.0, False)]

    bad = queried(users, "SELECT 'a' AS shopper, 1.5::numeric AS n, 'NaN'::float8 AS x, 1 AS b")
    with pytest.raises(ExtractError) as refusal:
        load(database, replace(LIVE, tables=(bad,)))
    assert refusal.value.findings == (
        "shoppers: column n: shopper 'a' (1 in all): must be a whole number of at most 18 digits; that of 'a' has "
        "'1.5'",
        "shoppers: column x: shopper 'a' (1 in all): must be a finite number, with a point; that of 'a' has 'nan'",
        "shoppers: column b: shopper 'a' (1 in all): must be True or False; that of 'a' has '1'",
    )


def test_a_named_server_is_read_beside_the_other_and_without_any_our_own(database: Settings) -> None:
    here = queried(FAILED, "SELECT 'ann' AS shopper, 1 AS failed_90d, 2 AS amount_90d", server="warehouse")
    both = replace(LIVE, tables=(*LIVE.tables, here))
    with pytest.raises(ConfigurationError, match="ASOF_SOURCE_URL_WAREHOUSE is not set"):
        load(database, both)
    own = SecretStr(database.database().render_as_string(hide_password=False))
    assert load(database.model_copy(update={"source_urls": {"warehouse": own}}), both).rows["failed_payments"] == 1
    ours = queried(SHOPPERS, "SELECT DISTINCT shopper, joined FROM public.shoppers")
    assert load(database.model_copy(update={"source_url": None}), replace(LIVE, tables=(ours,))).rows["shoppers"] == 3


def test_files_and_queries_make_one_load(database: Settings, tmp_path: Path) -> None:
    mixed = replace(SHOP, tables=(replace(SHOPPERS, source=CsvFile(separator=";")), FAILED))
    (tmp_path / "shoppers.csv").write_text("shopper;joined\nann;2023-01-01\nbob;2023-02-01\n")

    snapshot = take_snapshot(database, mixed, tmp_path, as_of=JANUARY)
    assert snapshot.new_rows == {"failed_payments": 2, "goodbyes_month": 2, "shoppers": 2}
    assert sorted(snapshot.files) == ["failed_payments", "goodbyes_month", "shoppers.csv"]
    assert take_snapshot(database, mixed, tmp_path, as_of=JANUARY).load_id is None

    (tmp_path / "shoppers.csv").write_text("shopper;joined\nann;2023-01-01\n")
    message = r"failed_payments: column shopper: 'bob' \(1 in all\): must be a shopper of shoppers"
    with pytest.raises(ExtractError, match=message):
        take_snapshot(database, mixed, tmp_path, as_of=JANUARY)


def test_a_file_may_refer_to_entities_that_are_queried(database: Settings, tmp_path: Path) -> None:
    mixed = replace(SHOP, tables=(SHOPPERS, replace(FAILED, source=CsvFile())))
    header = "shopper,failed_90d,amount_90d\n"
    (tmp_path / "failed_payments.csv").write_text(f"{header}ann,1,10.5\n")
    assert take_snapshot(database, mixed, tmp_path, as_of=JANUARY).new_rows["failed_payments"] == 1

    (tmp_path / "failed_payments.csv").write_text(f"{header}zoe,1,10.5\n")
    with pytest.raises(
        ExtractError, match=r"failed_payments.csv: column shopper: row 2 .* a shopper of table shoppers"
    ):
        take_snapshot(database, mixed, tmp_path, as_of=JANUARY)


# --- backfills


def test_a_range_of_moments_is_read_as_it_was_known_then(database: Settings) -> None:
    for each in moment_deliveries(SHOP, JANUARY, FEBRUARY, backfill=True):
        load(database, as_of=each.as_of, known_at=each.known_at, part=each.part)

    assert fetch(database, "SELECT as_of, created_at, count(*) FROM shoppers GROUP BY 1, 2 ORDER BY 1") == [
        (JANUARY, JANUARY, 2),
        (FEBRUARY, FEBRUARY, 3),
    ]
    known = fetch(database, "SELECT DISTINCT as_of, created_at FROM goodbyes_month ORDER BY 1")
    assert known == [(JANUARY, FEBRUARY), (FEBRUARY, datetime(2024, 3, 31, tzinfo=UTC))]


HOURS = st.integers(0, 24 * 150)
BASE = datetime(2023, 10, 1, tzinfo=UTC)
EVENTS = st.lists(st.tuples(st.sampled_from("abc"), HOURS, st.integers(1, 9999), HOURS), max_size=12)


@drawn(max_examples=25)
@given(events=EVENTS, as_of=HOURS, later=HOURS)
def test_point_in_time_and_known_at_are_those_of_an_oracle(
    shop: Settings, events: list[tuple[str, int, int, int]], as_of: int, later: int
) -> None:
    def at(hours: int) -> datetime:
        return BASE + timedelta(hours=hours)

    moment, known = at(as_of), at(as_of + later)
    rows = [(who, at(when), cents / 100, at(when + delay)) for who, when, cents, delay in events]
    fill(shop, people=[(who, date(2023, 1, 1), BASE - DAY) for who in "abc"], payments=rows)
    counted = {
        who: [cents for other, when, cents, delay in events if other == who
              and at(when) < moment and at(when) >= moment - 90 * DAY and at(when + delay) <= known]
        for who in "abc"
    }  # fmt: skip
    ever = {who for who, *_ in events}
    expected = [
        {"shopper": who, "failed_90d": len(cents), "amount_90d": round(sum(cents) / 100, 2) if cents else None}
        for who, cents in counted.items()
        if cents or who not in ever
    ]
    read: list[Any] = []
    none = suppress(SourceError) if not expected else nullcontext()  # which is refused
    with open_servers(shop, {"source"}) as servers, none:
        read_query(servers["source"], FAILED, Times(moment, known), lambda batch: read.extend(batch.to_pylist()))
    assert read == expected


# --- what is refused


REFUSED: dict[str, tuple[RawTable, str]] = {
    "no such table": (queried(SHOPPERS, "nobody"), r'fails on server .source. \(127.*relation "nobody" does not exist'),
    "a fault of the query": (
        queried(SHOPPERS, "SELECT 1/0 AS shopper, now() AS joined"),
        "division by zero; correct it",
    ),
    "a column less": (queried(SHOPPERS, "SELECT shopper FROM people"), "it has no column 'joined'"),
    "a column more": (queried(SHOPPERS, "people"), "its column 'noted' is not in the schema"),
    "a column twice": (queried(SHOPPERS, "SELECT *, 1 AS joined FROM people"), "column 'joined' more than once"),
    "a key twice": (
        queried(SHOPPERS, "SELECT shopper, joined FROM people UNION ALL SELECT shopper, joined FROM people"),
        r"shoppers: column shopper: shopper 'ann', 'bob', 'eve' \(3 in all\): must be unique",
    ),
    "a key that is null": (queried(SHOPPERS, "SELECT NULL AS shopper, joined FROM people"), "must not be empty"),
    "too slow": (
        queried(SHOPPERS, "SELECT shopper, joined FROM people, pg_sleep(9)", timeout=0.2),
        r"was cancelled after 0 s \(its timeout is 0.2 s\): make it faster, or raise PostgresQuery\(timeout=",
    ),
    "no rows": (queried(SHOPPERS, "SELECT shopper, joined FROM people WHERE false"), "gives no rows as of"),
    "a date without a day": (
        queried(SHOPPERS, "SELECT shopper, 'infinity'::date AS joined FROM people"),
        "the query gives a value that no table can hold: .*infinity",
    ),
    "another date": (
        queried(SHOPPERS, "SELECT shopper, '31.01.2024' AS joined FROM people"),
        "must be a date as in 2024-01-31; that of 'ann' has '31.01.2024'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_query_loads_nothing_and_is_named_in_a_sentence(database: Settings, case: str) -> None:
    table, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as refusal:
        load(database, replace(SHOP, tables=(table,)))
    assert str(refusal.value).startswith("shoppers")
    assert tables(database) == []


def test_rows_of_unknown_entities_are_refused(database: Settings) -> None:
    stranger = queried(FAILED, "SELECT 'zoe' AS shopper, 0 AS failed_90d, NULL AS amount_90d")
    message = r"failed_payments: column shopper: 'zoe' \(1 in all\): must be a shopper of shoppers"
    with pytest.raises(ExtractError, match=message):
        load(database, replace(LIVE, tables=(*LIVE.tables, stranger)))
    assert tables(database) == []


def test_a_server_that_is_away_is_named_without_its_password(database: Settings) -> None:
    away = database.model_copy(update={"source_url": SecretStr("postgresql://me:geheim@127.0.0.1:1/shop")})
    with pytest.raises(
        SourceError, match=r"Server 'source' of the queries does not answer: .*nothing was loaded"
    ) as raised:
        load(away, LIVE)
    assert "geheim" not in str(raised.value)


def test_a_server_that_is_lost_while_it_is_read_is_named(database: Settings) -> None:
    suicide = "SELECT shopper, joined FROM people, pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(SourceError, match="lost its server 'source'"):
        load(database, replace(LIVE, tables=(queried(SHOPPERS, suicide),)))
    assert tables(database) == []


def test_a_query_that_names_no_moment_describes_only_the_present(database: Settings) -> None:
    with pytest.raises(SourceError, match="no :as_of, so its rows are those of now, not of 2024-01-31"):
        load(database, LIVE, JANUARY)


def test_knowledge_that_the_events_cannot_show_is_not_claimed(database: Settings) -> None:
    unrecorded = queried(SHOPPERS, "SELECT shopper, joined FROM people WHERE joined < :as_of")
    schema = replace(SHOP, tables=(unrecorded,))
    with pytest.raises(SourceError, match="no :known_at, so nothing shows what was known of it at 2024-01-31"):
        load(database, schema, JANUARY, known_at=JANUARY, part=Part.FEATURES)
    assert load(database, schema, JANUARY).known_at > FEBRUARY
    assert datetime(2023, 1, 1, tzinfo=UTC) < JANUARY
    with pytest.raises(SourceError, match=r"gives no rows.*its events begin later or were recorded later"):
        load(database, as_of=JANUARY - 20 * DAY, known_at=JANUARY - 20 * DAY, part=Part.FEATURES)


def test_a_replica_behind_the_moment_is_refused_and_describes_what_it_has_replayed() -> None:
    replica = Server("source", None, "db:5432/shop", "", JANUARY)  # type: ignore[arg-type]
    primary = replace(replica, replayed=None)
    require_replayed([replica, primary], JANUARY)
    with pytest.raises(SourceError, match="has replayed up to 2024-01-31 00:00:00, not up to 2024-02-29 00:00:00 UTC"):
        require_replayed([primary, replica], FEBRUARY)
    assert described_moment([primary, replica]) == JANUARY
    assert described_moment([primary]) > FEBRUARY


@pytest.mark.parametrize(
    ("options", "message"), [({"server": "Ware-house"}, "server 'Ware-house' must have"), ({"timeout": 0}, "a timeout")]
)
def test_a_query_that_cannot_be_is_refused_where_it_is_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PostgresQuery("people", **options)
    assert PostgresQuery('shop."People";').text({}) == 'SELECT * FROM shop."People"'


PARAMETERS = {
    "SELECT :as_of": "SELECT <A>",
    "SELECT now() AT TIME ZONE 'UTC' < :known_at, (:as_of)::date": "SELECT now() AT TIME ZONE 'UTC' < <K>, (<A>)::date",
    "SELECT ':as_of', \":as_of\", E'\\':as_of', 'it''s :as_of'": None,
    "SELECT 1 -- :as_of\n/* :known_at */ + 2": None,
    "SELECT $$:as_of$$, $a$ :known_at $a$, x::as_of, :as_of_day": None,
    "SELECT 1 % 2, '{}', :other": None,
}


@pytest.mark.parametrize("query", PARAMETERS)
def test_parameters_are_those_outside_of_texts_names_and_comments(query: str) -> None:
    source, expected = PostgresQuery(query), PARAMETERS[query]
    assert source.text({"as_of": "<A>", "known_at": "<K>"}) == (expected or query)
    assert bool(source.parameters) is bool(expected)

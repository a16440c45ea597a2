"""The raw tables of Renewals, written by `flows new` on 2026-11-30.

What was seen stands beside each column. Correct what was guessed: ranges, allowed values, which columns may be empty.
"""

from asof.extract_schema import Column, ExtractSchema, Kind, RawTable
from asof.sources import PostgresQuery

RENEWALS_PAIRS = RawTable(
    "renewals_pairs",
    (
        Column("user", Kind.INTEGER),  # 0 to 1,499
        Column("device", Kind.TEXT),  # phone, tv
        Column("total_spend", Kind.NUMBER, minimum=0),  # 0.3 to 297.63
        Column("visits", Kind.INTEGER, minimum=0),  # 0 to 39
        Column("plan", Kind.TEXT, nullable=True, allowed=("a", "b")),  # a, b; 1,027 of 3,000 empty
        Column("last_seen", Kind.TEXT),  # 2024-01-01 00:00:00+00
    ),
    source=PostgresQuery("""
SELECT
    "User" AS "user",
    "device" AS "device",
    "Total Spend" AS "total_spend",
    "visits" AS "visits",
    "plan" AS "plan",
    "last_seen" AS "last_seen"
FROM shop.pairs
WHERE "month" = :as_of
"""),
)

RENEWALS_LABELS = RawTable(
    "renewals_labels",
    (
        Column("user", Kind.INTEGER),  # 0 to 1,499
        Column("device", Kind.TEXT),  # phone, tv
        Column("renewed", Kind.BOOLEAN),  # no, yes
    ),
    source=PostgresQuery("""
SELECT
    "User" AS "user",
    "device" AS "device",
    "renewed" = 'yes' AS "renewed"
FROM shop.pairs
WHERE "month" = :as_of
"""),
)

EXTRACT = ExtractSchema(
    entity=("user", "device"),
    entity_table="renewals_pairs",
    tables=(RENEWALS_PAIRS,),
    labels=RENEWALS_LABELS,
    label="renewed",
)

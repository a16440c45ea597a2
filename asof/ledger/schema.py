"""The tables of the ledger, in a schema of their own, which may be in another database than the features.

All are append-only but `segments`, the shipper's bookkeeping. A value of a prediction is in the array of its kind:
`models.features` has for each feature, in the order of the contract, the array and the place in it.
"""

from typing import TYPE_CHECKING, LiteralString

from asof.errors import ConfigurationError

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

MODELS: LiteralString = """
CREATE TABLE IF NOT EXISTS ledger.models (
    id bigint PRIMARY KEY,
    use_case text NOT NULL,
    name text NOT NULL,
    version text,
    run_id text NOT NULL,
    bento text NOT NULL,
    fingerprint text NOT NULL,
    feature_service text,
    features jsonb NOT NULL,
    views text[] NOT NULL,
    threshold float8,
    classes text[],
    unit text,
    created_at timestamptz NOT NULL DEFAULT now()
)"""
"""What answered: a model by its version, run, Bento and training set, or a service without one.

`id` is a digest of the other columns. `features` is an array of objects: name, type (Feast's), view (null: given in
the request), kind (floats, integers or texts: the column of `predictions` with its value), and place (from 1).
"""

PREDICTIONS: LiteralString = """
CREATE TABLE IF NOT EXISTS ledger.predictions (
    at timestamptz NOT NULL,
    request uuid NOT NULL,
    model bigint NOT NULL,
    target_as_of timestamptz,
    score float8,
    item smallint,
    status smallint NOT NULL,
    decision smallint,
    entity text,
    code text,
    api_key text,
    caller_id text,
    verdicts text,
    scores float8[],
    floats float8[],
    integers bigint[],
    texts text[],
    moments timestamptz[]
) PARTITION BY RANGE (at)"""
"""One row for each answer, refusals included.

`request`: the UUIDv7 of the request; `caller_id`: the X-Request-ID that the caller chose, where it is another. `item`:
the place in a batch, from 0. `target_as_of`: the newest moment among the stored values, whose outcome is predicted.
`score`: the probability or the number, `scores` those of several classes; `decision`: the place of the answered class,
from 0. `verdicts`: a letter for each feature (VERDICT_LETTERS), null: all present. `moments`: of each view, or of each
feature where those of a view differ; null: all are `target_as_of`. `entity`: the id, or JSON of several keys.
"""

INDEXES: tuple[LiteralString, ...] = (
    "CREATE INDEX IF NOT EXISTS predictions_at ON ledger.predictions USING brin (at) WITH (autosummarize = on)",
    "CREATE INDEX IF NOT EXISTS predictions_entity ON ledger.predictions (entity)",
    "CREATE INDEX IF NOT EXISTS predictions_caller ON ledger.predictions (caller_id) WHERE caller_id IS NOT NULL",
)
"""None on `request`: its time is in it, and a range of `at` is found by a thousandth of the bytes."""

SHADOW_SCORES: LiteralString = """
CREATE TABLE IF NOT EXISTS ledger.shadow_scores (
    at timestamptz NOT NULL,
    request uuid NOT NULL,
    model bigint NOT NULL,
    score float8,
    item smallint,
    decision smallint,
    entity text,
    code text,
    scores float8[]
) PARTITION BY RANGE (at)"""
"""What a challenger says of answers that another model gave: `at`, `request` and `item` are those of the answer in
`predictions`, `model` is the challenger. `code`: why it has no score (FAILED, CRASHED), null where it has one.
"""

SHADOW_INDEXES: tuple[LiteralString, ...] = (
    "CREATE INDEX IF NOT EXISTS shadow_scores_at ON ledger.shadow_scores USING brin (at) WITH (autosummarize = on)",
    "CREATE INDEX IF NOT EXISTS shadow_scores_entity ON ledger.shadow_scores (entity)",
)

SEGMENTS: LiteralString = """
CREATE TABLE IF NOT EXISTS ledger.segments (
    segment uuid PRIMARY KEY,
    shipped bigint NOT NULL,
    rows bigint NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
)"""
"""How many bytes of each file of the spool are in `predictions`: written in the transaction that adds their rows."""

OUTCOMES: LiteralString = """
CREATE TABLE IF NOT EXISTS ledger.outcomes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    use_case text NOT NULL,
    event uuid NOT NULL,
    entity text,
    request uuid,
    item smallint,
    target_as_of timestamptz,
    outcome jsonb NOT NULL,
    observed_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    acted boolean,
    control boolean,
    source text NOT NULL,
    client_key text,
    CHECK (num_nonnulls(entity, request) > 0)
)"""
"""What came of predictions, append-only: a correction is a later row of the same `event`, a digest of the client's key,
or of target and `observed_at` (`asof.ledger.outcomes`). `outcome`: true or false, a class, a number.
"""

OUTCOME_INDEXES: tuple[LiteralString, ...] = (
    "CREATE INDEX IF NOT EXISTS outcomes_event ON ledger.outcomes (event)",
    "CREATE INDEX IF NOT EXISTS outcomes_entity ON ledger.outcomes (entity, target_as_of) WHERE entity IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS outcomes_request ON ledger.outcomes (request) WHERE request IS NOT NULL",
)

COMPLETE_OUTCOMES: LiteralString = """
CREATE TABLE IF NOT EXISTS ledger.complete_outcomes (
    use_case text NOT NULL,
    target_as_of timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    PRIMARY KEY (use_case, target_as_of, created_at)
)"""
"""Whose outcomes of a moment were declared complete, and when: for use cases whose outcomes come without labels."""

EXPORTS: LiteralString = """
CREATE TABLE IF NOT EXISTS ledger.exports (
    partition text NOT NULL,
    file text NOT NULL,
    rows bigint NOT NULL,
    file_sha256 text NOT NULL,
    rows_sha256 text NOT NULL,
    exported_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
"""The files to which retention has moved a month of `predictions` (`monitoring.retention`)."""

REFUSE_REWRITE: LiteralString = """
CREATE OR REPLACE FUNCTION ledger.refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP <> 'TRUNCATE' AND current_setting('asof.erasing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of table ledger.% is refused: it is append-only', TG_OP, TG_TABLE_NAME;
END $body$"""
"""Only `flows erase` changes rows, and says so in its session."""

APPEND_ONLY: tuple[LiteralString, ...] = (
    *("models", "predictions", "shadow_scores", "outcomes", "complete_outcomes", "exports"),
)
REFUSE: LiteralString = """
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.{}
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_rewrite()"""

MAKE_PARTITIONS: LiteralString = """
CREATE OR REPLACE FUNCTION ledger.make_partitions(first timestamptz, last timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $body$
DECLARE month timestamp := date_trunc('month', first); made integer := 0; parent text; name text;
BEGIN
    IF first < '2020-01-01' OR last > now() + interval '1 year' THEN
        RAISE EXCEPTION 'the ledger has no partitions from % to %', first, last USING ERRCODE = 'check_violation';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('asof ledger partitions', 0));
    WHILE month <= last LOOP
        FOREACH parent IN ARRAY ARRAY['predictions', 'shadow_scores'] LOOP
            name := parent || '_' || to_char(month, 'YYYY_MM');
            IF to_regclass('ledger.' || name) IS NULL THEN
                EXECUTE format('CREATE TABLE ledger.%I (LIKE ledger.%I INCLUDING ALL)', name, parent);
                EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I '
                    'FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_rewrite()', name);
                EXECUTE format('ALTER TABLE ledger.%I ATTACH PARTITION ledger.%I FOR VALUES FROM (%L) TO (%L)',
                    parent, name, month::timestamptz, (month + interval '1 month')::timestamptz);
                made := made + 1;
            END IF;
        END LOOP;
        month := month + interval '1 month';
    END LOOP;
    RETURN made;
END $body$"""
"""Makes the partitions of answers and shadow scores, one for each month in UTC, from one moment to another; the
shipper's role may create no table.

A table is made and attached: PARTITION OF would wait for every reader, and all others for it. There is no default
partition, which would forbid to detach another one concurrently. A partition has a trigger of its own, because that of
the whole table does not see a statement that names the partition.
"""
NOT_FOR_ALL: LiteralString = """
REVOKE EXECUTE ON FUNCTION ledger.make_partitions(timestamptz, timestamptz) FROM PUBLIC"""

NOT_HYPOTHETICAL: LiteralString = "(p.verdicts IS NULL OR strpos(p.verdicts, 'R') = 0)"
"""Of a row `p` of `predictions`: it answers no what-if request. Only such an answer is a prediction, to be counted."""

ANSWERS: LiteralString = """
CREATE OR REPLACE VIEW ledger.answers AS
SELECT p.at, p.request, p.item, p.caller_id, m.use_case, m.name AS model, m.version, m.run_id, m.bento, p.entity,
    p.target_as_of, p.status, p.code, p.score, p.scores, m.threshold, m.classes[p.decision + 1] AS decision, m.unit,
    p.api_key, coalesce(strpos(p.verdicts, 'R') > 0, false) AS hypothetical
FROM ledger.predictions p JOIN ledger.models m ON m.id = p.model"""
"""For analysts: each answer with its model. `hypothetical`: to a what-if request, some of whose values are its own."""

ANSWERED_VALUES: LiteralString = """
CREATE OR REPLACE VIEW ledger.answered_values AS
SELECT p.at, p.request, p.item, m.use_case, m.version, p.entity, f.feature ->> 'name' AS feature,
    f.feature ->> 'view' AS view, f.feature ->> 'type' AS type,
    CASE f.feature ->> 'kind' WHEN 'floats' THEN p.floats[place] END AS number,
    CASE f.feature ->> 'kind' WHEN 'integers' THEN p.integers[place] END AS whole_number,
    CASE f.feature ->> 'kind' WHEN 'texts' THEN p.texts[place] END AS text,
    CASE WHEN substr(p.verdicts, f.number::integer, 1) = 'R' THEN NULL
        WHEN p.moments IS NULL AND f.feature ->> 'view' IS NOT NULL THEN p.target_as_of
        WHEN cardinality(p.moments) = cardinality(m.views) THEN p.moments[array_position(m.views, f.feature ->> 'view')]
        ELSE p.moments[f.number] END AS as_of,
    CASE coalesce(substr(p.verdicts, f.number::integer, 1), 'P') WHEN 'P' THEN 'PRESENT' WHEN 'N' THEN 'NULL'
        WHEN 'I' THEN 'INFINITE' WHEN 'A' THEN 'NOT_FOUND' WHEN 'S' THEN 'STALE' WHEN 'F' THEN 'FUTURE'
        WHEN 'O' THEN 'OUTSIDE' WHEN 'R' THEN 'OVERRIDDEN' END AS verdict
FROM ledger.predictions p JOIN ledger.models m ON m.id = p.model
CROSS JOIN LATERAL (
    SELECT feature, number, (feature ->> 'place')::integer AS place
    FROM jsonb_array_elements(m.features) WITH ORDINALITY AS each (feature, number)
) f
WHERE num_nonnulls(p.floats, p.integers, p.texts) > 0"""
"""For analysts: each value behind each answer, one row for each feature.

A value is in `number`, `whole_number` (an integer, or 0 and 1 of a boolean) or `text`.
"""

STATEMENTS: tuple[LiteralString, ...] = (
    "CREATE SCHEMA IF NOT EXISTS ledger",
    *(
        MODELS,
        PREDICTIONS,
        *INDEXES,
        SHADOW_SCORES,
        *SHADOW_INDEXES,
        SEGMENTS,
        OUTCOMES,
        *OUTCOME_INDEXES,
        COMPLETE_OUTCOMES,
    ),
    *(EXPORTS, REFUSE_REWRITE, *(REFUSE.format(table) for table in APPEND_ONLY), MAKE_PARTITIONS, NOT_FOR_ALL),
    *(ANSWERS, ANSWERED_VALUES),
)
"""Creates what is absent, in this order."""

VERDICT_LETTERS = {
    "PRESENT": "P",
    "NULL": "N",
    "INFINITE": "I",
    "NOT_FOUND": "A",
    "STALE": "S",
    "FUTURE": "F",
    "OUTSIDE": "O",
    "OVERRIDDEN": "R",
}


EXIST = "SELECT to_regclass('ledger.predictions') IS NOT NULL, to_regclass('ledger.shadow_scores') IS NOT NULL"


def create_tables(connection: "Connection[TupleRow]") -> None:
    """Creates what is absent, and this month's partition and the next; safe for several processes at once."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('asof makes ledger', 0))")
        for statement in STATEMENTS:
            connection.execute(statement)
        connection.execute("SELECT ledger.make_partitions(now(), now() + interval '1 month')")


def require_tables(connection: "Connection[TupleRow]") -> None:
    """Creates the tables where there are none. Raises ConfigurationError where our role may not."""
    from psycopg.errors import InsufficientPrivilege

    (answers, scores) = connection.execute(EXIST).fetchone() or (False, False)
    if answers and scores:
        return
    try:
        create_tables(connection)
    except InsufficientPrivilege:
        if answers:  # those of an older version: answers are shipped, shadow scores wait
            return
        raise ConfigurationError(
            f"Database {connection.info.dbname} has no ledger, and user {connection.info.user} may not create it: run "
            "`python -m flows databases`."
        ) from None

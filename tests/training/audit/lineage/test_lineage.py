"""From a version or an answer back to the loads and files: compared with the files themselves."""

import contextlib
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from asof.errors import DataError, ModelError
from asof.ledger.answers import Answer, ReadValues
from asof.ledger.model_record import record_of
from asof.ledger.spool.encoder import Encoder
from asof.model_facts import Lineage
from asof.settings import Settings, export
from asof.use_case import Estimator
from flows.terminal.output import to_plain
from flows.terminal.trace import Chain, print_chain, trace
from tests.kits.data.extracts import fetch
from tests.kits.data.history import CHURN, History
from tests.kits.models.cancer import CANCER, make
from tests.kits.models.training import regression
from tests.kits.service.ledger import keep
from training.audit.lineage.loads import OnDisk
from training.audit.lineage.trace import AnswerChain, AnswerChains, trace_request, trace_version
from training.audit.lineage.training_set import set_origin
from training.audit.lineage.values import ValueOrigin
from training.audit.lineage.version import VersionChain
from training.data.snapshots.snapshot import take_snapshot
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.parity.online_side import open_online_side
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.promotion.history import Change, Event, append, writing
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion

JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
MARCH_10 = datetime(2024, 3, 10, tzinfo=UTC)
QUICK = replace(
    CHURN, model_name="quick", estimators={"default": Estimator("churn_v2", regression, "a logistic regression")}
)
USAGE, FILE = "usage_agg_30d", "usage_agg_30d.csv"


def trained(settings: Settings, as_of: datetime, known_at: datetime | None) -> ModelVersion:
    training_set = build_training_set(settings, QUICK, as_of, known_at=known_at)
    return register(settings, evaluate(settings, train(settings, QUICK, training_set)))


@dataclass(frozen=True)
class Traced:
    """The history, a version that was trained on January as known on March 10, and a ledger."""

    history: History
    version: ModelVersion

    @property
    def settings(self) -> Settings:
        return self.history.settings

    def chain(self) -> VersionChain:
        return trace_version(self.settings, QUICK, self.version.version)

    def answer(self, request_id: str, user: str, as_of: datetime = JANUARY) -> AnswerChain:
        """Keeps an answer about a user, as the service does, and traces it."""
        keep_answer(self.settings, self.version, (request_id, user, as_of))
        return one_answer(self.settings, request_id)


def one_answer(settings: Settings, request_id: str) -> AnswerChain:
    chain = trace_request(settings, QUICK, request_id)
    assert isinstance(chain, AnswerChain)
    return chain


def keep_answer(
    settings: Settings,
    version: ModelVersion,
    answer: tuple[str, str, datetime],
    own: Mapping[str, datetime] | None = None,
) -> None:
    """With the values that the online store has of the user now."""
    request_id, user, as_of = answer
    lineage, contract = (
        Lineage(version.name, version.version, version.run_id, "quick:v1-made-up"),
        version.facts.contract,
    )
    with open_online_side(settings, [contract]) as online:
        values = {
            feature.name: stored[0].value for feature, stored in zip(online.features, online.read([user]), strict=True)
        }
    moments: dict[str, Any] = {"as_of": dict.fromkeys(contract.views, as_of)} | ({"as_of_features": own} if own else {})
    encoder = Encoder(record_of(QUICK, lineage, version.facts))
    keep(settings, encoder, request_id, Answer(user, prediction=0.5, decision=1), ReadValues(values, moments))


@pytest.fixture(scope="module")
def traced(history: History) -> Traced:
    version = trained(history.settings, JANUARY, MARCH_10)
    materialise(history.settings, as_of=JANUARY)
    return Traced(history, version)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def delivered(history: History, file: str, known_at: datetime, as_of: datetime = JANUARY) -> dict[str, Path]:
    """By user, the folder that first brought the newest line of a file up to a moment, read from the files alone."""
    found: dict[str, tuple[datetime, str, Path]] = {}
    for each in sorted(history.deliveries, key=lambda each: (each.as_of, each.known_at)):
        path = each.folder / file
        if each.as_of <= as_of and each.known_at is not None and each.known_at <= known_at and path.is_file():
            rows = pd.read_csv(path, dtype=str).fillna("").set_index("user_id")
            for user, row in zip(rows.index, rows.itertuples(index=False), strict=True):
                line = "|".join(row)
                if user not in found or found[user][:2] != (each.as_of, line):
                    found[user] = each.as_of, line, each.folder
    return {user: folder for user, (_, _, folder) in found.items()}


def one(values: tuple[ValueOrigin, ...], table: str = USAGE) -> ValueOrigin:
    (found,) = (value for value in values if value.table == table)
    return found


@pytest.mark.parametrize(
    ("as_of", "known_at", "several"),
    [(JANUARY, FEBRUARY, 0), (JANUARY, MARCH_10, 3), (FEBRUARY, datetime(2024, 3, 31, tzinfo=UTC), 3)],
    ids=["before the late rows", "with late rows and corrections", "with values of the month before"],
)
def test_a_training_set_is_traced_to_the_loads_of_its_rows(
    traced: Traced, as_of: datetime, known_at: datetime, several: int
) -> None:
    origin = set_origin(traced.settings, QUICK, replace(traced.version.facts, as_of=as_of, known_at=known_at))
    labelled = _users(traced.history.folder / f"labels_{'000' if as_of == JANUARY else '001'}" / "labels.csv")
    assert [source.table for source in origin.sources][-1] == "labels"
    assert len(origin.sources) == 6
    for source in origin.sources[:-1]:
        by_user = delivered(traced.history, f"{source.table}.csv", known_at, as_of)
        expected = Counter(str(folder) for user, folder in by_user.items() if user in labelled)
        loads = {share.load.folder: share.load for share in source.shares if share.load}
        assert {share.load.folder: share.rows for share in source.shares if share.load} == expected, source.table
        assert all(load.on_disk is OnDisk.SAME for load in loads.values())
        assert {load.sha256 for load in loads.values()} == {
            sha256(Path(name) / f"{source.table}.csv") for name in loads
        }
    assert sum(len(source.shares) > 1 for source in origin.sources) >= several
    assert origin.rows == len(labelled)
    assert origin.broken == ()
    shares = [share for source in origin.sources for share in source.shares]
    assert any(share.as_of < as_of for share in shares) is (as_of == FEBRUARY)


def test_a_version_has_its_code_environment_signature_and_training_set(traced: Traced) -> None:
    chain, facts = traced.chain(), traced.version.facts
    assert (chain.name, chain.version, chain.promotions) == ("quick", traced.version.version, ())
    assert (chain.training.run_id, chain.training.git_commit, chain.training.git_dirty) == (
        traced.version.run_id,
        facts.code_version,
        facts.git_dirty,
    )
    assert {"python", "scikit-learn", "numpy", "machine", "blas"} <= chain.training.environment.keys()
    assert chain.training.model_digest == facts.model_digest
    assert chain.signature is not None
    assert len(chain.signature.signed_by) == 16
    assert chain.signature.files >= 4
    assert (chain.training_set.fingerprint, chain.training_set.rows_digest) == (facts.fingerprint, facts.rows_digest)
    assert (chain.training_set.as_of, chain.training_set.known_at) == (JANUARY, MARCH_10)
    assert chain.training_set.contract_digest == facts.contract.digest


def test_a_model_without_a_trusted_signature_breaks_the_chain_there_and_nowhere_else(traced: Traced) -> None:
    other = "A" * 43 + "="
    chain = trace_version(traced.settings.model_copy(update={"trusted_keys": other}), QUICK, traced.version.version)
    assert chain.signature is None
    (sentence,) = chain.broken
    assert "signed by" in sentence
    assert chain.training_set.sources


def test_a_corrected_users_value_is_traced_to_the_corrections_load(traced: Traced) -> None:
    newest = delivered(traced.history, FILE, datetime.now(UTC))
    months = traced.history.folder / "month_000"
    corrected = next(user for user, folder in newest.items() if folder != months and user in _users(months / FILE))
    plain = next(user for user, folder in newest.items() if folder == months)
    for user, folder in ((corrected, newest[corrected]), (plain, months)):
        chain = traced.answer(f"of-{user}", user)
        value = one(chain.values)
        assert value.load is not None
        assert (Path(value.load.folder), value.load.file) == (folder, FILE)
        assert value.load.sha256 == sha256(folder / FILE)
        assert value.created_at == value.load.known_at
        assert [each.view for each in chain.values] == traced.version.facts.contract.views
        assert chain.broken == ()
        assert chain.model == traced.chain()


def _users(path: Path) -> set[str]:
    return set(pd.read_csv(path)["user_id"])


def test_an_answer_is_traced_to_what_the_store_held_then_whatever_was_loaded_since(
    traced: Traced, tmp_path: Path
) -> None:
    newest = delivered(traced.history, FILE, datetime.now(UTC))
    user = sorted(newest)[7]
    before = one(traced.answer("before", user).values)
    folder = _redelivered(traced.history.folder / "month_000", tmp_path / "correction", user)
    load = take_snapshot(traced.settings, CHURN.extract, folder, as_of=JANUARY)
    assert load.new_rows[USAGE] >= 1
    between = one(traced.answer("between", user).values)
    materialise(traced.settings, as_of=JANUARY)
    after = one(traced.answer("after", user).values)
    assert before.load is not None
    assert before.load.folder == str(newest[user])
    assert (between.load, between.created_at) == (before.load, before.created_at), "it was not online yet"
    assert after.load is not None
    assert (after.load.load_id, after.load.folder) == (load.load_id, str(folder))
    again = one(one_answer(traced.settings, "before").values)
    assert again.load == before.load
    assert again.materialised is not None
    assert again.materialised.later == 1
    assert again.deduced.endswith("and 1 more since.")
    (folder / FILE).write_bytes((folder / FILE).read_bytes() + b"\n")
    changed = one(one_answer(traced.settings, "after").values).load
    assert changed is not None
    assert changed.on_disk is OnDisk.CHANGED
    (folder / FILE).unlink()
    gone = one(one_answer(traced.settings, "after").values).load
    assert gone is not None
    assert (gone.on_disk, gone.sha256) == (OnDisk.GONE, changed.sha256)


def _redelivered(month: Path, folder: Path, user: str) -> Path:
    """The month once more, with one user's devices changed."""
    folder.mkdir()
    for path in month.glob("*.csv"):
        (folder / path.name).write_bytes(path.read_bytes())
    usage = pd.read_csv(folder / FILE, dtype=str)
    usage.loc[usage["user_id"] == user, "skips_7d"] = "77"
    usage.to_csv(folder / FILE, index=False)
    return folder.resolve()


@contextlib.contextmanager
def past_the_loader(settings: Settings, user: str, created_at: datetime) -> Iterator[None]:
    """A row of January that no load brought, written with the database's password; gone afterwards."""
    copy = (
        f"INSERT INTO {USAGE} SELECT %s, as_of, %s, watch_hours_30d, avg_session_mins_7d, unique_devices_30d, 99,"
        f" rebuffer_events_7d FROM {USAGE} WHERE as_of = '2024-01-31Z' ORDER BY user_id LIMIT 1"
    )
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        assert connection.execute(copy.encode(), (user, created_at)).rowcount == 1
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE {USAGE} DISABLE TRIGGER append_only".encode())
            connection.execute(f"DELETE FROM {USAGE} WHERE skips_7d = 99".encode())
            connection.execute(f"ALTER TABLE {USAGE} ENABLE TRIGGER append_only".encode())


def test_a_row_that_was_written_past_the_loader_is_a_broken_link(traced: Traced) -> None:
    newest, labelled = (delivered(traced.history, file, MARCH_10) for file in (FILE, "labels.csv"))
    user = next(user for user in labelled if newest[user].name == "month_000")
    with past_the_loader(traced.settings, user, datetime(2024, 3, 9, 5, tzinfo=UTC)):
        chain = traced.answer("past", user)
    value = one(chain.values)
    assert (value.created_at, value.load) == (datetime(2024, 3, 9, 5, tzinfo=UTC), None)
    (usage,) = (source for source in chain.model.training_set.sources if source.table == USAGE)
    assert [share.rows for share in usage.shares if share.load is None] == [1]
    assert set(chain.broken) == {value.broken}
    assert value.broken.startswith(f"No load brought {USAGE} as of 2024-01-31")
    assert "no load contains them" in shown(chain)


def test_a_row_with_the_times_of_a_load_is_found_by_their_number(traced: Traced) -> None:
    with past_the_loader(traced.settings, "nobody-sent-me", JANUARY):
        chain = traced.answer("forged", "nobody-sent-me")
    value = one(chain.values)
    assert value.load is not None
    assert value.load.in_table == value.load.new_rows + 1
    assert value.broken in chain.broken
    assert "others were not written by the loader" in value.broken
    others = [each for each in chain.values if each.table != USAGE]
    assert {each.broken.split(" holds ")[1] for each in others} == {"no row of that moment: others wrote this value."}
    assert any("and" in sentence and USAGE in sentence for sentence in chain.model.broken)


def test_a_value_that_no_recorded_materialisation_can_have_written_is_a_broken_link(traced: Traced) -> None:
    user = fetch(traced.settings, f"SELECT min(user_id) FROM {USAGE} WHERE as_of = '2024-02-29Z'")[0][0]
    chain = traced.answer("february", user, FEBRUARY)
    assert len(chain.broken) == len(chain.values)
    assert all("was as of 2024-01-31" in each.broken for each in chain.values)


def test_values_of_one_view_that_differ_in_age_are_each_traced_to_their_own_row(traced: Traced) -> None:
    """Somebody wrote one feature of March into the online store: the others are January's as before."""
    user = fetch(traced.settings, f"SELECT min(user_id) FROM {USAGE} WHERE as_of = '2024-01-31Z'")[0][0]
    whole = one(traced.answer("before-the-write", user).values)
    march = datetime(2024, 3, 4, tzinfo=UTC)
    features = {each.name for each in traced.version.facts.contract.features if each.view == "usage_agg_30d_fv"}
    own = {name: march if name == "skips_7d" else JANUARY for name in features}
    keep_answer(traced.settings, traced.version, ("written", user, JANUARY), own=own)
    chain = one_answer(traced.settings, "written")
    january, written = (value for value in chain.values if value.view == "usage_agg_30d_fv")
    assert set(january.features) == features - {"skips_7d"}
    assert replace(january, features=(), values=whole.values) == whole
    assert january.values == tuple(each for each in whole.values if each.feature != "skips_7d")
    assert (written.as_of, written.features, written.load) == (march, ("skips_7d",), None)
    assert chain.broken == (written.broken,)
    assert "usage_agg_30d_fv as of 2024-03-04 00:00: skips_7d" in shown(chain)


def test_each_kept_value_is_shown_beside_that_of_its_row(traced: Traced) -> None:
    user = fetch(traced.settings, f"SELECT max(user_id) FROM {USAGE} WHERE as_of = '2024-01-31Z'")[0][0]
    chain = traced.answer("compared", user)
    value = one(chain.values)
    (row,) = fetch(
        traced.settings,
        f"SELECT watch_hours_30d, skips_7d FROM {USAGE} WHERE user_id = '{user}' AND as_of = '2024-01-31Z'"
        f" AND created_at = '{value.created_at}'",
    )
    kept = {each.feature: each for each in value.values}
    assert (kept["watch_hours_30d"].kept, kept["skips_7d"].kept) == row
    assert all(each.same for origin in chain.values for each in origin.values)
    assert sum(len(origin.values) for origin in chain.values) == len(traced.version.facts.contract.features)
    assert f"watch_hours_30d {row[0]}\n" in shown(chain)


def test_a_kept_value_that_its_row_does_not_have_is_a_broken_link(traced: Traced) -> None:
    """Somebody overwrote a number in the online store, for the moment that it had."""
    user = fetch(traced.settings, f"SELECT max(user_id) FROM {USAGE} WHERE as_of = '2024-01-31Z'")[0][0]
    with psycopg.connect(traced.settings.conninfo(), autocommit=True) as connection:
        ((table,),) = connection.execute(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.columns"
            " WHERE table_schema = 'online' AND column_name = 'skips_7d' AND table_name LIKE '%usage%'"
        ).fetchall()
        (before,) = fetch(traced.settings, f"SELECT skips_7d FROM {table} WHERE user_id = '{user}'")[0]
        connection.execute(f"UPDATE {table} SET skips_7d = 1234 WHERE user_id = %s".encode(), [user])
        chain = traced.answer("overwritten", user)
        connection.execute(f"UPDATE {table} SET skips_7d = %s WHERE user_id = %s".encode(), [before, user])
    (sentence,) = chain.broken
    assert sentence == f"The answer's values are not those of the row: skips_7d was 1234 and is {before} there."
    assert f"skips_7d 1234, but {before} in the row" in shown(chain)


def test_an_erased_answer_says_so(traced: Traced) -> None:
    """As an erasure leaves it."""
    user = fetch(traced.settings, f"SELECT max(user_id) FROM {USAGE} WHERE as_of = '2024-01-31Z'")[0][0]
    kept = traced.answer("erased", user).answer
    gone = ("entity", "floats", "integers", "texts", "score", "decision", "target_as_of")
    stub = f"UPDATE ledger.predictions SET code = 'erased', {', '.join(f'{name} = NULL' for name in gone)}"
    with psycopg.connect(traced.settings.conninfo(), autocommit=True) as connection:
        connection.execute("SET asof.erasing = 'on'")
        connection.execute(f"{stub} WHERE caller_id = 'erased'".encode())
    chain = one_answer(traced.settings, "erased")
    assert (chain.answer.entity, chain.answer.values, chain.broken) == (None, (), ())
    assert kept.entity == user
    assert "erased: its entity, values and score are gone" in shown(chain)


def test_the_history_of_promotions_is_reported_and_must_name_the_same_training_set(traced: Traced) -> None:
    number, mine = traced.version.version, traced.version.facts.fingerprint
    ours = [Change(Event.PROMOTED, number, None, "better", fingerprint=mine)]
    ours += [Change(Event.PROMOTED, "99", number, "better", fingerprint="theirs")]
    ours += [Change(Event.PROMOTED, "99", "98", "better", fingerprint="theirs")]
    with writing(traced.settings) as connection:
        append(connection, "another", [Change(Event.PROMOTED, number, None, "", fingerprint="not ours")], who="bob")
        append(connection, "quick", ours, who="ann")
        chain = traced.chain()
        append(connection, "quick", [Change(Event.PROMOTED, number, "99", "again", fingerprint="other")], who="ann")
        contradicted = traced.chain()
        connection.execute("DROP TABLE promotions")  # the other tests know no history
    assert [(entry.seq, entry.who) for entry in chain.promotions] == [(1, "ann"), (2, "ann")]
    assert chain.broken == ()
    (sentence,) = contradicted.broken
    assert sentence.startswith(f"Entry 4 of the history has fingerprint other for version {number}")


def test_an_answer_that_contradicts_the_registry_is_reported(traced: Traced, tmp_path: Path) -> None:
    """A saved answer carries the fingerprint, and no time."""
    user = fetch(traced.settings, f"SELECT min(user_id) FROM {USAGE} WHERE as_of = '2024-01-31Z'")[0][0]
    model = {"name": "quick", "version": traced.version.version, "run_id": traced.version.run_id, "bento": "quick:1"}
    payload: dict[str, Any] = {"user_id": user, "flags": [], "request_id": "1f", "model": model}
    payload["as_of"] = dict.fromkeys(traced.version.facts.contract.views, "2024-01-31T00:00:00Z")
    saved = tmp_path / "answer.json"
    saved.write_text(json.dumps(payload | {"model": model | {"fingerprint": traced.version.facts.fingerprint}}))
    good = trace(traced.settings, QUICK, str(saved))
    assert good.broken == ()
    assert isinstance(good, AnswerChain)
    assert all("does not say when" in each.deduced for each in good.values)
    pasted = trace(traced.settings, QUICK, saved.read_text())
    assert isinstance(pasted, AnswerChain)
    assert pasted.values == good.values
    saved.write_text(json.dumps(payload | {"model": model | {"version": "41", "fingerprint": "f" * 64}}))
    version, fingerprint = trace(traced.settings, QUICK, str(saved)).broken
    assert "version 41" in version
    assert "f" * 64 in fingerprint


def test_a_refused_request_is_traced_to_the_model_alone(traced: Traced) -> None:
    lineage = Lineage("quick", traced.version.version, traced.version.run_id, "quick:1")
    encoder = Encoder(record_of(QUICK, lineage, traced.version.facts))
    keep(traced.settings, encoder, "refused", Answer("nobody", 404, "entity-not-found"), None)
    chain = one_answer(traced.settings, "refused")
    assert (chain.values, chain.broken, chain.model) == ((), (), traced.chain())
    assert "refused: entity-not-found (404), of nobody" in shown(chain)


def test_every_answer_of_a_request_id_that_came_twice_is_traced(traced: Traced) -> None:
    """A caller chose one id for two users, and sent a third request before the service had a model."""
    query = f"SELECT DISTINCT user_id FROM {USAGE} WHERE as_of = '2024-01-31Z' ORDER BY 1 LIMIT 2"
    users = [user for (user,) in fetch(traced.settings, query)]
    early = Encoder(record_of(QUICK, Lineage("quick", None, "", "quick:code"), None))
    keep(traced.settings, early, "again", Answer(None, 503, "not-ready"), None)
    for user in users:
        keep_answer(traced.settings, traced.version, ("again", user, JANUARY))
    chains = trace(traced.settings, QUICK, "again")
    assert isinstance(chains, AnswerChains)
    refused, *answers = chains.answers
    assert (refused.model, refused.values, refused.broken) == (None, (), chains.broken)
    assert chains.broken == ("again got a 503 (not-ready): the service had no model yet.",)
    assert [each.answer.entity for each in answers] == users
    alone = [traced.answer(f"alone-{user}", user) for user in users]
    assert [(each.values, each.model) for each in answers] == [(each.values, each.model) for each in alone]
    text = shown(chains)
    assert text.startswith("3 answers of the request id again, the oldest first")
    assert 0 < text.index(f"of {users[0]}, answered") < text.index(f"of {users[1]}, answered")
    assert len(json.loads(json.dumps(to_plain(chains), default=str))["answers"]) == 3


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("77", ModelError, "quick has no version '77'; it has: "),
        ("no-such-request", DataError, "No answer no-such-request of churn is in the ledger"),
    ],
)
def test_what_is_not_known_is_reported_with_where_it_was_looked_for(
    traced: Traced, what: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        trace(traced.settings, QUICK, what)


def test_a_request_id_of_digits_is_traced_where_no_version_has_that_number(traced: Traced) -> None:
    user = fetch(traced.settings, f"SELECT min(user_id) FROM {USAGE} WHERE as_of = '2024-01-31Z'")[0][0]
    expected = traced.answer("20261125", user)
    assert trace(traced.settings, QUICK, "20261125") == expected
    with pytest.raises(ModelError, match=r"no version '78'.*No answer 78 of churn is in the ledger"):
        trace(traced.settings, QUICK, "78")


def test_a_file_that_is_no_text_is_no_answer(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="holds no answer of churn"):
        trace(traced.settings, QUICK, str(tmp_path / "answer.json"))


@pytest.mark.parametrize("text", ['{"predictions": "%s"}', '\n[{"user_id": "%s"}]', '{"%s'])
def test_a_text_that_is_no_answer_is_no_path_either(traced: Traced, text: str) -> None:
    with pytest.raises(DataError, match="the argument holds no answer of churn"):
        trace(traced.settings, QUICK, text % ("a" * 300))


def shown(chain: Chain) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as text:
        print_chain(chain)
    return text.getvalue()


def test_people_see_every_digest_whole(traced: Traced) -> None:
    user = fetch(traced.settings, f"SELECT min(user_id) FROM {USAGE} WHERE as_of = '2024-01-31Z'")[0][0]
    chain = traced.answer("shown", user)
    text = shown(chain)
    loads = [value.load for value in chain.values]
    loads += [share.load for source in chain.model.training_set.sources for share in source.shares]
    for load in loads:
        assert load is not None
        assert f"sha256 {load.sha256} (the file " in text
        assert str(Path(load.folder) / load.file) in text
    for digest in (chain.model.training_set.fingerprint, chain.model.training_set.rows_digest, "quick version 1"):
        assert digest in text
    assert text.strip().endswith("no link of this chain is broken")


def test_the_data_set_of_a_use_case_without_extracts_is_the_same_or_it_is_reported(settings: Settings) -> None:
    made = make(settings)
    chain = trace_version(settings, CANCER, made.version.version)
    assert (chain.training_set.rows, chain.training_set.sources, chain.broken) == (569, (), ())
    assert chain.training_set.rows_digest == made.version.facts.rows_digest
    source: Any = CANCER.source
    fewer: Callable[[], pd.DataFrame] = lambda: source.rows().head(500)  # noqa: E731
    changed = trace_version(settings, replace(CANCER, source=replace(source, rows=fewer)), made.version.version)
    (sentence,) = changed.broken
    assert "own data set has changed" in sentence


def test_real_months_are_traced_to_the_real_files(settings: Settings, streamflow: Path) -> None:
    export(settings)
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    for month, as_of in (("month_000", JANUARY), ("month_001", FEBRUARY)):
        take_snapshot(settings, CHURN.extract, streamflow / month, as_of=as_of)
    apply_features(settings)
    for month, as_of in (("month_000", JANUARY), ("month_001", FEBRUARY)):
        chain = trace_version(settings, QUICK, trained(settings, as_of, None).version)
        assert chain.broken == ()
        found = {
            share.load.file: share.load
            for source in chain.training_set.sources
            for share in source.shares
            if share.load
        }
        assert {load.folder for load in found.values()} == {str(streamflow / month)}
        assert {file: load.sha256 for file, load in found.items()} == {
            path.name: sha256(path) for path in (streamflow / month).glob("*.csv")
        }

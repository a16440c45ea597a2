"""Old months of the snapshot tables: which versions keep them, what is dropped, and who says so afterwards."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from asof.errors import ConfigurationError, DataError, HistoryError, TrainingSetError
from asof.settings import Settings
from asof.use_case import Estimator
from tests.kits.data.extracts import fetch
from tests.kits.data.history import CHURN, History, moment
from tests.kits.data.parity import database_copy, deliver
from tests.kits.models.training import regression
from training.audit.lineage.trace import trace_version
from training.audit.reproduction.reproduce import reproduce
from training.audit.retention import Retention, keep_snapshots
from training.features.datasets.dataset import build_training_set
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion

LATER = datetime(2024, 12, 1, tzinfo=UTC)
QUICK = replace(
    CHURN, model_name="quick", estimators={"default": Estimator("churn_v2", regression, "a logistic regression")}
)


@pytest.fixture(autouse=True)
def _use_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.audit.retention.load_all", lambda: ([QUICK], {}))


@pytest.fixture(scope="module")
def version(history: History) -> ModelVersion:
    """Trained as of February."""
    training_set = build_training_set(history.settings, QUICK, moment(history.plan.as_of(1)))
    return register(history.settings, evaluate(history.settings, train(history.settings, QUICK, training_set)))


@pytest.fixture
def own(history: History, version: ModelVersion) -> Iterator[Settings]:
    with database_copy(history.settings) as copy:
        yield copy


def keep(settings: Settings, before: datetime = LATER, **options: bool) -> Retention:
    return keep_snapshots(settings, QUICK, before, owner=settings.conninfo(), **options)


def test_months_that_a_version_rests_on_stay_and_it_is_named(own: Settings, version: ModelVersion) -> None:
    before = fetch(own, "SELECT count(*) FROM users")
    with pytest.raises(DataError, match=f"not be reproduced: {version.name} version {version.version}. Keep more days"):
        keep(own)
    would = keep(own, dry_run=True)
    breaking = {month.partition for month in would.months if month.breaks}
    assert {"labels_2024_02", "usage_agg_30d_2024_02"} <= breaking
    assert not breaking & {"labels_2024_01", "users_2024_03", "usage_agg_30d_2024_03"}
    assert {month.until.month for month in would.months} == {2, 3, 4}, "the newest month always stays"
    assert fetch(own, "SELECT count(*) FROM users") == before
    assert reproduce(own, QUICK, version).agrees


def test_a_month_that_no_version_rests_on_is_dropped_and_the_version_comes_out_the_same(
    own: Settings, version: ModelVersion
) -> None:
    with psycopg.connect(own.conninfo()) as connection:
        connection.execute("SELECT months.make_month('users', '2000-01-31')")
        connection.execute("INSERT INTO users VALUES ('old', '2000-01-31', '2000-01-31')")
    done = keep(own, datetime(2001, 1, 1, tzinfo=UTC))
    assert [(each.partition, each.rows) for each in done.months] == [("users_2000_01", 1)]
    assert keep(own, datetime(2001, 1, 1, tzinfo=UTC)).months == ()
    assert reproduce(own, QUICK, version).agrees
    assert trace_version(own, QUICK, version.version).training_set.broken == ()


def test_what_was_dropped_is_named_by_reproduce_and_trace_and_takes_no_rows(
    own: Settings, version: ModelVersion, history: History, tmp_path: Path
) -> None:
    newest = "SELECT count(*) FROM users WHERE as_of >= '2024-04-01Z'"
    left = fetch(own, newest)
    assert all(each.rows for each in keep(own, breaking=True).months)
    assert fetch(own, "SELECT count(*) FROM users") == fetch(own, newest) == left
    words = rf"dropped rows of .*usage_agg_30d before 2024-03 \(on {datetime.now(UTC):%Y-%m-%d} by "
    with pytest.raises(TrainingSetError, match=f"version {version.version} cannot be reproduced any more. .*{words}"):
        reproduce(own, QUICK, version)
    assert "`flows snapshots keep` dropped rows of" in " ".join(trace_version(own, QUICK, version.version).broken)
    first = next(each for each in history.deliveries if each.as_of == moment(history.plan.as_of(0)))
    with pytest.raises(HistoryError, match=r"was dropped from .* by `flows snapshots keep`: it takes no rows"):
        deliver(own, first.folder, tmp_path / "again", first.as_of, payments_agg_90d=lambda rows: rows[:-1])
    assert keep(own).months == ()


def test_a_month_that_others_read_is_kept_and_the_next_call_goes_on(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.audit.retention.LOCK_TIMEOUT", "50ms")
    with psycopg.connect(own.conninfo()) as reader:
        reader.execute("SELECT FROM users LIMIT 1")
        with pytest.raises(ConfigurationError, match="Others have read users for a minute: run the command again"):
            keep(own, breaking=True)
    assert "users_2024_01" in {each.partition for each in keep(own, breaking=True).months}

"""One flipped value among very many: written by materialise, read through Feast, compared one by one."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from asof.settings import Settings, export
from simulator import SimulationPlan, simulate
from tests.kits.data import parity as kit
from tests.kits.data.parity import CHURN, FEATURES, found
from training.data.snapshots.snapshot import take_snapshot
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.parity.check import check_parity
from training.features.parity.verdicts import Verdict

VIEW, FEATURE = "usage_agg_30d_fv", "watch_hours_30d"


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """On Feast's own online store: it is in its form that a value is flipped here."""
    return settings.model_copy(update={"online_store": "postgres"})


@pytest.fixture(scope="module", params=[2_650, pytest.param(53_000, marks=pytest.mark.soak)])
def users(request: pytest.FixtureRequest, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The keys of as many users as give fifty thousand or a million values, all of them in the online store."""
    export(settings)
    folder = tmp_path_factory.mktemp("simulated") / "extracts"
    simulate(SimulationPlan(date(2024, 1, 31), users=request.param, months=1), folder)
    take_snapshot(settings, CHURN.extract, folder / "month_000", as_of=datetime(2024, 1, 31, tzinfo=UTC))
    apply_features(settings)
    materialise(settings)
    return sorted(pd.read_csv(folder / "month_000" / "users.csv")["user_id"])


def test_one_flipped_value_among_very_many_is_found(settings: Settings, users: list[str]) -> None:
    user = users[len(users) // 2]
    before = kit.online_value(settings, VIEW, FEATURE, user).double_val
    kit.overwrite(settings, VIEW, FEATURE, user, double_val=before + 1e-9)
    parity = check_parity(settings, CHURN)
    assert sum(parity.verdicts.values()) == FEATURES * len(users)
    assert found(parity) == {Verdict.UNEQUAL: 1}
    (example,) = parity.examples
    assert (example.entity, example.view, example.feature) == (user, VIEW, FEATURE)
    assert (example.offline, example.online) == (before, before + 1e-9)
    assert parity.differing_users == 1
    assert parity.differing_at_most == 1 / len(users)

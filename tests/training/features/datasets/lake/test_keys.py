"""Keys of every kind in a lake: numbers, UUIDs, and several keys of which a view has some."""

import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest

from asof.extracts.schema import Kind
from asof.settings import Settings, export
from tests.kits.models.keyed import AS_OF, Keyed, Row, load
from training.features.datasets.dataset import build_training_set
from training.features.datasets.lake.export import export_lake

pytestmark = pytest.mark.soak

CASES = (
    Keyed("numbers", {"account_id": Kind.INTEGER}, {"usage": ["account_id"]}),
    Keyed("devices", {"device": Kind.UUID}, {"usage": ["device"]}),
    Keyed(
        "pairs",
        {"user_id": Kind.TEXT, "merchant_id": Kind.INTEGER},
        {"users": ["user_id"], "shops": ["merchant_id"], "both": ["user_id", "merchant_id"]},
    ),
)
TEXTS = ["José", "Jose\u0301", "a/b?c&d=e", "7", "100%", "'", '"', "年", *map("u{}".format, range(50))]
ROWS: Mapping[str, list[Row]] = {
    "numbers": [(number,) for number in (0, -1, 2**53 + 1, 2**63 - 1, -(2**63), *range(100, 300))],
    "devices": [(str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))),) for number in range(200)],
    "pairs": [(shop, user) for shop in (0, -1, 2**63 - 1) for user in TEXTS],
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_set_is_that_of_postgresql(settings: Settings, tmp_path: Path, case: Keyed) -> None:
    export(settings)
    load(settings, case, case.write(tmp_path / "month", ROWS[case.name]))
    done = export_lake(settings, case.use_case, tmp_path / "lake")
    ours = build_training_set(settings, case.use_case, AS_OF, known_at=done.known_at)
    of_lake = settings.model_copy(update={"lake": tmp_path / "lake"})
    theirs = build_training_set(of_lake, case.use_case, AS_OF, from_lake=True)
    assert len(ours.frame) == len(ROWS[case.name])
    assert (theirs.rows_digest, theirs.fingerprint) == (ours.rows_digest, ours.fingerprint)

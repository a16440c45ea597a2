"""Tables of other keys than one text: corrections, labels that come later, and a schema that changes its keys."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from asof.errors import ConfigurationError, ExtractError
from asof.extracts.schema import ExtractSchema, Kind
from asof.settings import Settings
from tests.kits.data.extracts import fetch
from tests.kits.models.keyed import AS_OF, Keyed
from training.data.snapshots.snapshot import take_snapshot
from training.data.snapshots.tables import prepare_tables
from training.inspection.gather import months_known

PAIR = Keyed(
    "visits", {"user_id": Kind.UUID, "place": Kind.INTEGER}, {"users": ["user_id"], "both": ["user_id", "place"]}
)
USERS = [f"{number:08}-0000-4000-8000-00000000000a" for number in range(4)]
ROWS = [(place, user) for place in (-5, 0, 2**63 - 1) for user in USERS]


@pytest.fixture(scope="module")
def delivered(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first delivery, whose labels come in a folder of their own."""
    folder = PAIR.write(tmp_path_factory.mktemp("visits") / "month", ROWS, lambda key: str(key).upper())
    (folder.parent / "labels").mkdir()
    (folder / "visits_labels.csv").rename(folder.parent / "labels" / "visits_labels.csv")
    take_snapshot(settings, PAIR.extract, folder, as_of=AS_OF)
    return folder


def rows_of(settings: Settings, table: str) -> int:
    return int(fetch(settings, f"SELECT count(*) FROM visits_{table}")[0][0])


def test_a_corrected_row_is_the_only_one_that_is_added(settings: Settings, delivered: Path, tmp_path: Path) -> None:
    assert (rows_of(settings, "all"), rows_of(settings, "users"), rows_of(settings, "both")) == (12, 4, 12)
    again = PAIR.write(tmp_path / "again", ROWS)
    (again / "visits_labels.csv").unlink()
    both = (again / "visits_both.csv").read_text().splitlines()
    both[5] = both[5].rpartition(",")[0] + ",99.5"
    (again / "visits_both.csv").write_text("\n".join([both[0], *reversed(both[1:]), ""]))
    taken = take_snapshot(settings, PAIR.extract, again, as_of=AS_OF)
    assert dict(taken.new_rows) == {"visits_all": 0, "visits_users": 0, "visits_both": 1}
    (month,) = months_known(settings, PAIR.extract, AS_OF)
    assert month.frame.index.tolist() == sorted(ROWS)
    assert (month.frame["visits_both.both_x"] == 99.5).sum() == 1
    assert not month.frame.isna().any(axis=None)
    of_users = month.frame["visits_users.users_x"].groupby(lambda entity: entity[1]).nunique()
    assert of_users.tolist() == [1] * 4


def test_labels_that_come_later_must_be_of_pairs_that_are_there(
    settings: Settings, delivered: Path, tmp_path: Path
) -> None:
    labels = delivered.parent / "labels"
    text = (labels / "visits_labels.csv").read_text()
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "visits_labels.csv").write_text(text.replace("-5,", "-6,", 1))
    words = "columns place, user_id: row 2 .*: must be a place and user_id of table visits_all as of"
    with pytest.raises(ExtractError, match=words):
        take_snapshot(settings, PAIR.extract, wrong, as_of=AS_OF)
    assert take_snapshot(settings, PAIR.extract, labels, as_of=AS_OF).new_rows["visits_labels"] == 12
    assert fetch(settings, "SELECT place, user_id::text FROM visits_labels ORDER BY 1, 2") == ROWS


def test_a_schema_that_changes_its_keys_is_refused_before_anything_is_loaded(
    settings: Settings, delivered: Path
) -> None:
    of_users = {each.name: replace(each, keys=("user_id",)) for each in (*PAIR.extract.tables, PAIR.extract.labels)}
    labels = of_users.pop("visits_labels")
    other = ExtractSchema("user_id", "visits_all", tuple(of_users.values()), labels, "good")
    with pytest.raises(ConfigurationError, match="visits_all is keyed by place, user_id, and the schema by user_id"):
        prepare_tables(settings, other)
    with pytest.raises(ConfigurationError, match="visits_all is keyed by place, user_id"):
        take_snapshot(settings, other, delivered, as_of=AS_OF + timedelta(days=1))
    assert fetch(settings, "SELECT DISTINCT as_of FROM visits_all") == [(AS_OF,)]

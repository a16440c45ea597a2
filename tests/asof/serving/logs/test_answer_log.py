"""The answer log: one whole line for each answer, and no request that fails because of it."""

import gzip
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asof.errors import DataError
from asof.model_facts import Lineage
from asof.serving.logs.answer_log import AnswerLog, answer_facts
from asof.use_case import UseCase
from asof.use_cases import load
from training.audit.lineage.answers import Answer, find_answers, read_answer

CHURN = load("churn")
LINEAGE = Lineage("streamflow_churn", "3", "a" * 32, "streamflow_churn:v3-aaaaaaaa-1c0ffee1")
PREDICTOR: Any = SimpleNamespace(use_case=CHURN, lineage=LINEAGE)
MARCH = datetime(2024, 3, 31, tzinfo=UTC)
EVIDENCE = {"as_of": {"users_fv": MARCH}, "flags": [{"feature": "has_family", "verdict": "STALE", "age_days": 500.0}]}


Opened = Callable[[Path], AnswerLog]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Makes answer logs, and closes their files as the end of a worker does."""
    logs: list[AnswerLog] = []

    def make(path: Path) -> AnswerLog:
        logs.append(AnswerLog(path))
        return logs[-1]

    yield make
    for log in logs:
        log.close()


def answered(log: AnswerLog, request_id: str, entity: str = "7590-VHVEG") -> None:
    log.answered(request_id, PREDICTOR, entity=entity, evidence=EVIDENCE)


def find_answer(path: Path, use_case: UseCase, request_id: str) -> Answer:
    """The only one of that id."""
    (answer,) = find_answers(path, use_case, request_id)
    return answer


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_entity_time_and_model_but_no_values(opened: Opened, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    answered(opened(tmp_path / "answers.jsonl"), "8c5f2a")
    (line,) = lines(tmp_path / "answers.jsonl")
    assert before <= datetime.fromisoformat(line.pop("at")) <= datetime.now(UTC)
    assert line == {
        "request_id": "8c5f2a",
        "use_case": "churn",
        "model": vars(LINEAGE),
        "status": 200,
        "entity": "7590-VHVEG",
        "as_of": {"users_fv": "2024-03-31T00:00:00Z"},
        "flags": ["has_family"],
    }


def test_a_line_has_the_moment_of_each_feature_where_those_of_a_view_differ(opened: Opened, tmp_path: Path) -> None:
    own = {"monthly_fee": MARCH, "total_paid": datetime(2024, 2, 29, tzinfo=UTC)}
    evidence = {"as_of": {"subs_profile_fv": min(own.values())}, "as_of_features": own, "flags": []}
    opened(tmp_path / "answers.jsonl").answered("8c5f2a", PREDICTOR, entity="7590-VHVEG", evidence=evidence)
    (line,) = lines(tmp_path / "answers.jsonl")
    assert line["as_of"] == {"subs_profile_fv": "2024-02-29T00:00:00Z"}
    assert line["as_of_features"] == {"monthly_fee": "2024-03-31T00:00:00Z", "total_paid": "2024-02-29T00:00:00Z"}
    assert find_answer(tmp_path / "answers.jsonl", CHURN, "8c5f2a").as_of_features == own


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answered(AnswerLog(None), "8c5f2a")
    assert not list(tmp_path.iterdir())


def test_eight_threads_and_two_workers_leave_one_whole_line_for_each_request(opened: Opened, tmp_path: Path) -> None:
    logs = [opened(tmp_path / "answers.jsonl") for _ in range(2)]
    ids = [f"request-{number}" for number in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: answered(logs[number % 2], ids[number], "x" * (number % 64)), range(2000)))
    assert sorted(line["request_id"] for line in lines(tmp_path / "answers.jsonl")) == sorted(ids)


def test_its_folder_is_created(opened: Opened, tmp_path: Path) -> None:
    answered(opened(tmp_path / "new" / "folder" / "answers.jsonl"), "1")
    assert len(lines(tmp_path / "new" / "folder" / "answers.jsonl")) == 1


@pytest.mark.parametrize("umask", [0o000, 0o022], ids=oct)
def test_it_is_its_owners_whatever_the_umask_is(opened: Opened, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        answered(opened(tmp_path / "answers.jsonl"), "8c5f2a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "answers.jsonl").stat().st_mode) == 0o600


def test_a_failure_to_write_is_logged_once_and_fails_no_request(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "answers.jsonl"
    path.parent.write_text("in the way")
    log = opened(path)
    with caplog.at_level(logging.ERROR):
        answered(log, "1")
        answered(log, "2")
    assert len(caplog.messages) == 1
    assert str(path) in caplog.text
    path.parent.unlink()
    answered(log, "3")
    assert [line["request_id"] for line in lines(path)] == ["3"]
    path.parent.rename(tmp_path / "gone")
    path.parent.write_text("in the way")
    answered(log, "4")
    assert len(caplog.messages) == 2, "it is logged again when it fails again"


def test_a_full_disk_fails_no_request_and_what_was_lost_does_not_come_back(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "answers.jsonl"
    path.symlink_to("/dev/full")
    log = opened(path)
    for number in range(3):
        answered(log, f"lost-{number}")
    assert len(caplog.messages) == 1
    assert "No space left" in caplog.text
    path.unlink()
    answered(log, "kept")
    assert [line["request_id"] for line in lines(path)] == ["kept"]


def test_a_log_that_is_moved_away_begins_anew_and_both_are_searched(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    log = opened(path)
    answered(log, "before", "one")
    path.rename(tmp_path / "answers.jsonl.1")
    answered(log, "after", "two")
    assert [len(lines(each)) for each in (path, tmp_path / "answers.jsonl.1")] == [1, 1]
    assert find_answer(path, CHURN, "before").entity == "one"
    assert find_answer(path, CHURN, "after").entity == "two"


def test_of_two_answers_with_one_id_both_are_found_past_half_a_line(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    log = opened(path)
    answered(log, "twice", "first")
    with path.open("a") as file:
        file.write('{"request_id": "twice", "mod\n')
    log.refused("twice", PREDICTOR, status=404, code="entity-not-found", entity="second")
    answered(log, "not-twice", "third")
    first, second = find_answers(path, CHURN, "twice")
    assert (first.entity, first.status, first.code, first.as_of) == ("first", 200, "", {"users_fv": MARCH})
    assert (second.entity, second.status, second.code, second.as_of) == ("second", 404, "entity-not-found", {})


def test_answers_with_one_id_are_found_in_rotated_files_in_the_order_of_their_time(
    opened: Opened, tmp_path: Path
) -> None:
    """logrotate's names tell no order, and it may leave a file beside its packed copy."""
    path = tmp_path / "answers.jsonl"
    log = opened(path)
    for number, name in enumerate(("answers.jsonl.10", "answers.jsonl.2.gz", "answers.jsonl.1")):
        answered(log, "again", f"user-{number}")
        answered(log, f"alone-{number}")
        path.rename(tmp_path / name)
    packed = tmp_path / "answers.jsonl.2.gz"
    packed.write_bytes(gzip.compress(packed.read_bytes()))
    (tmp_path / "answers.jsonl.1.gz").write_bytes(gzip.compress((tmp_path / "answers.jsonl.1").read_bytes()))
    answered(log, "again", "user-3")
    found = find_answers(path, CHURN, "again")
    assert [each.entity for each in found] == ["user-0", "user-1", "user-2", "user-3"]
    assert [each.at for each in found] == sorted(each.at for each in found if each.at)


def test_a_batch_that_was_sent_twice_under_one_id_has_two_answers_at_each_place(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    log = opened(path)
    for user in ("first", "retried"):
        log.batch(
            lambda user=user: [(f"8c5f2a:{place}", PREDICTOR, answer_facts(user, EVIDENCE)) for place in (0, 1)]
        )()
    assert [each.entity for each in find_answers(path, CHURN, "8c5f2a:1")] == ["first", "retried"]
    with pytest.raises(DataError, match="Request 8c5f2a was a batch: name one of its instances, as 8c5f2a:0"):
        find_answers(path, CHURN, "8c5f2a")
    answered(log, "8c5f2a", "alone")
    assert [each.entity for each in find_answers(path, CHURN, "8c5f2a")] == ["alone"]


def test_invalid_lines_and_files_hide_no_answer(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    answered(opened(path), "kept")
    with path.open("ab") as file:
        file.write(b'"kept"\n["kept"]\n{"note": "kept"}\n{"request_id": "kept"}\n\xff kept\n')
    whole = gzip.compress(path.read_bytes().replace(b"kept", b"torn") * 200)
    (tmp_path / "answers.jsonl.1").write_bytes(b"\xff\xfe kept")
    (tmp_path / "answers.jsonl.2.gz").write_bytes(b"kept")
    (tmp_path / "answers.jsonl.3.gz").write_bytes(whole[:-4])
    (tmp_path / "answers.jsonl.4.xz").write_bytes(b"kept")
    assert find_answer(path, CHURN, "kept").entity == find_answer(path, CHURN, "torn").entity == "7590-VHVEG"
    with pytest.raises(DataError, match=r"2\.gz \(not readable .*3\.gz \(not readable .*4\.xz \(not readable"):
        find_answer(path, CHURN, "never")


def test_an_unknown_id_is_an_error_with_the_searched_files(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with pytest.raises(DataError, match=rf"{path}, which does not exist.*ASOF_ANSWER_LOG"):
        find_answer(path, CHURN, "8c5f2a")
    answered(opened(path), "8c5f2a")
    with pytest.raises(DataError, match=f"No answer 8c5f of churn is known: looked in {path}"):
        find_answer(path, CHURN, "8c5f")
    with pytest.raises(DataError, match="answered by churn"):
        find_answer(path, load("breast_cancer"), "8c5f2a")


ANSWER = {
    "user_id": "7590-VHVEG",
    "probability": 0.4,
    "model": {**vars(LINEAGE), "fingerprint": "f" * 64},
    "as_of": {"users_fv": "2024-03-31T00:00:00Z"},
    "flags": [],
    "request_id": "8c5f2a",
}


def test_a_saved_answer_is_read_as_it_was_given() -> None:
    found = read_answer(json.dumps(ANSWER), CHURN, "answer.json")
    assert (found.entity, found.as_of, found.at, found.fingerprint) == (
        "7590-VHVEG",
        {"users_fv": MARCH},
        None,
        "f" * 64,
    )


@pytest.mark.parametrize("text", ["", "[]", "7", '{"code": "entity-not-found"}', json.dumps(ANSWER | {"as_of": 3})])
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"answer\.json holds no answer of churn"):
        read_answer(text, CHURN, "answer.json")


def test_an_answer_of_another_model_is_refused() -> None:
    other = ANSWER | {"model": {**vars(LINEAGE), "name": "other"}}
    with pytest.raises(DataError, match="is an answer of other, not of streamflow_churn"):
        read_answer(json.dumps(other), CHURN, "answer.json")


def test_the_lines_of_a_batch_are_made_apart_from_being_written(opened: Opened, tmp_path: Path) -> None:
    refusal = {"status": 404, "code": "entity-not-found", "entity": "nobody"}
    path = tmp_path / "answers.jsonl"
    write = opened(path).batch(
        lambda: [("many:0", PREDICTOR, answer_facts("7590-VHVEG", EVIDENCE)), ("many:1", PREDICTOR, refusal)]
    )
    assert not path.exists()
    write()
    assert [find_answer(path, CHURN, each).entity for each in ("many:0", "many:1")] == ["7590-VHVEG", "nobody"]


def test_without_a_path_no_lines_of_a_batch_are_even_made() -> None:
    def lines() -> list[Any]:
        raise AssertionError

    AnswerLog(None).batch(lines)()

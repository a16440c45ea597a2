"""An answer in chunks is one document, and each item equals the answer to a single prediction."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from asof.errors import EntityNotFound
from asof.features.feature_contract import Feature, FeatureContract
from asof.inference.verdicts import row_moments
from asof.ledger.spool.frames import blocks_of
from asof.ledger.spool.segments import read_piece, segment_paths
from asof.serving.batch.answer_formats import AnswerFormat, JsonFormat
from asof.serving.batch.arrow_format import ArrowFormat
from asof.serving.batch.instances import Instance
from asof.serving.batch.outcomes import Answered
from asof.serving.batch.predict_batch import BatchEncoder
from asof.serving.prediction.predictor import Prediction, Predictor
from asof.serving.prediction.worker import Worker
from asof.settings import Settings
from asof.use_case import Score
from asof.use_cases import load
from tests.kits.service.batch import CANCER, predictor, request
from tests.kits.service.serving import facts_of

WHERE = {"path": "/predict/batch", "state": {"request_id": "8c5f2a"}}
FLAG = {
    "feature": "mean radius",
    "verdict": "OUTSIDE",
    "value": 30.0,
    "trained_from": 6.98,
    "trained_to": 28.1,
    "ranges_away": 0.09,
}


def encoded(standard: Predictor, form: AnswerFormat, *chunks: list[Answered]) -> bytes:
    encoder = BatchEncoder(form, standard, WHERE)
    asked: list[Instance] = [request(5.0)]
    return form.head() + b"".join(encoder.encode(each, asked * len(each)) for each in chunks) + form.tail()


def made(by: Predictor, probability: float, **evidence: Any) -> Answered:
    return Answered(
        by, Prediction(CANCER.respond(None, Score(probability, 0.5)), {"flags": [], **evidence}, probability)
    )


@pytest.fixture
def outcomes() -> tuple[Predictor, list[Answered]]:
    """A prediction, one with a flag, one of another model, a refusal, and a failure."""
    standard, other = predictor("2"), predictor("1")
    unknown = EntityNotFound("No feature view knows 'nobody'.", entity="nobody")
    errors = [Answered(standard, each) for each in (unknown, ZeroDivisionError("secret"))]
    return standard, [made(standard, 0.75), made(standard, 0.25, flags=[FLAG]), made(other, 0.5), *errors]


def test_encoded_chunks_are_one_document(outcomes: tuple[Predictor, list[Answered]]) -> None:
    standard, every = outcomes
    whole = json.loads(encoded(standard, JsonFormat(standard, "8c5f2a"), every))
    parts = json.loads(encoded(standard, JsonFormat(standard, "8c5f2a"), every[:2], every[2:3], every[3:]))
    assert parts == whole
    assert (whole["model"]["version"], whole["request_id"]) == ("2", "8c5f2a")
    first, flagged, others, unknown, failed = whole["predictions"]
    assert (first["probabilities"]["benign"], first["flags"], "model" in first) == (0.75, [], False)
    assert flagged["flags"] == [FLAG]
    assert others["model"] == whole["model"] | {"version": "1"}
    assert unknown["problem"] | {"detail": ""} == {
        "status": 404,
        "detail": "",
        "code": "entity-not-found",
        "entity": "nobody",
    }
    assert failed["problem"] == {
        "status": 500,
        "detail": "The error was logged under this request id.",
        "code": "internal-error",
    }


def test_arrow_has_a_row_for_each_instance_and_a_batch_for_each_chunk(
    outcomes: tuple[Predictor, list[Answered]],
) -> None:
    standard, every = outcomes
    stream = encoded(standard, ArrowFormat(standard, "8c5f2a"), every[:2], every[2:])
    items = json.loads(encoded(standard, JsonFormat(standard, "8c5f2a"), every))["predictions"]
    with pa.ipc.open_stream(io.BytesIO(stream)) as reader:
        batches = list(reader)
    assert [each.num_rows for each in batches] == [2, 3]
    found = pa.Table.from_batches(batches).to_pylist()
    for row, item in zip(found, items, strict=True):
        assert row["probabilities"] == item.get("probabilities")
        assert row["flags"] == item.get("flags")
        assert row["status"] == item.get("problem", {}).get("status")
    assert json.loads(found[2]["model"]) == items[2]["model"]
    assert json.loads(found[3]["problem"]) == {"entity": "nobody"}


def test_outcomes_are_counted_by_their_codes(outcomes: tuple[Predictor, list[Answered]]) -> None:
    standard, every = outcomes
    before = counted(standard)
    encoded(standard, JsonFormat(standard, "8c5f2a"), every, every)
    found = {code: count - before[code] for code, count in counted(standard).items()}
    assert found == {"ok": 6, "entity-not-found": 2, "internal-error": 2}


def counted(predictor: Predictor) -> dict[str, float]:
    """The counters of this process, which other tests use as well."""
    counter = predictor.worker.metrics.batch_users
    return {code: counter.labels(code)._value.get() for code in ("ok", "entity-not-found", "internal-error")}


def test_each_instance_is_kept_with_its_position_in_the_batch(tmp_path: Path) -> None:
    own = Settings(ledger="process", ledger_spool=tmp_path)
    standard = predictor(worker=Worker(own, CANCER, bento="breast_cancer:v1"))
    encoder = BatchEncoder(JsonFormat(standard, "8c5f2a"), standard, WHERE)
    for count in (2, 1):
        encoder.encode([made(standard, 0.5)] * count, [request(5.0)] * count)
    standard.worker.ledger.close()
    (path,) = segment_paths(tmp_path)
    answers = [frame for frame in read_piece(path, 0).frames if frame.model is None]
    assert [frame.header["callers"] for frame in answers] == [{"0": "8c5f2a"}] * 2
    assert [item for frame in answers for item in blocks_of(frame).items.tolist()] == [0, 1, 2]


def test_an_answer_without_an_arrow_type_is_refused_with_the_place_to_add_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = predictor()
    answer = SimpleNamespace(model_fields={"strange": SimpleNamespace(alias=None, annotation=complex)})
    monkeypatch.setattr(odd, "use_case", SimpleNamespace(answer=answer))
    with pytest.raises(TypeError, match=r"add it to asof/serving/batch/arrow_format\.py"):
        ArrowFormat(odd, "8c5f2a")


def test_moments_of_features_are_in_json_and_arrow_where_those_of_a_view_differ() -> None:
    churn = load("churn")
    contract = FeatureContract(
        "churn_v2", "user_id", (Feature("fee", "subs", "Float64"), Feature("paid", "subs", "Float64"))
    )
    model = replace(predictor().model, facts=facts_of(contract))
    standard = Predictor(model, predictor().lineage, Worker(Settings(), churn, bento="churn:v1"))
    march, february = datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
    answer = churn.respond(SimpleNamespace(user_id="7590-VHVEG"), Score(0.75, 0.5))
    evidence = [
        {**row_moments(contract.features, moments), "flags": []} for moments in ((march, march), (march, february))
    ]
    chunk = [Answered(standard, Prediction(answer, each, 0.75)) for each in evidence]

    alike, differing = json.loads(encoded(standard, JsonFormat(standard, "8c5f2a"), chunk))["predictions"]
    assert (alike["as_of"], "as_of_features" in alike) == ({"subs": "2024-03-04T00:00:00Z"}, False)
    assert differing["as_of"] == {"subs": "2024-02-29T00:00:00Z"}
    assert differing["as_of_features"] == {"fee": "2024-03-04T00:00:00Z", "paid": "2024-02-29T00:00:00Z"}

    stream = encoded(standard, ArrowFormat(standard, "8c5f2a"), chunk)
    with pa.ipc.open_stream(io.BytesIO(stream)) as reader:
        found = reader.read_all().to_pylist()
    assert [row["as_of"] for row in found] == [{"subs": march}, {"subs": february}]
    assert [row["as_of_features"] for row in found] == [None, {"fee": march, "paid": february}]

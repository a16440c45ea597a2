"""An integer, a UUID, and a pair of user and merchant through every door: what is taken in can be asked for."""

import asyncio
import io
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as arrow
import pytest
from pyarrow import parquet

from asof.errors import ConfigurationError
from asof.extracts.schema import Kind
from asof.features.feature_store import feature_store, quiet
from asof.features.join_keys import Members
from asof.settings import Settings, export
from asof.use_case import UseCase
from tests.kits.data.extracts import fetch
from tests.kits.models import keyed
from tests.kits.models.keyed import AS_OF, Keyed, Row
from tests.kits.service.ledger import ship
from training.audit.lineage.answers import read_answer
from training.audit.lineage.trace import AnswerChain, trace_answer, trace_request
from training.audit.reproduction.reproduce import reproduce
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.feature_registry import check_features
from training.features.parity.check import check_parity
from training.features.parity.store_switch import compare_stores
from training.release.gate.contest import hold_contest
from training.release.registry.versions import ModelVersion
from training.scoring.score import score_users

NUMBER = Keyed("numbers", {"account_id": Kind.INTEGER}, {"usage": ["account_id"]})
DEVICE = Keyed("devices", {"device": Kind.UUID}, {"usage": ["device"]})
PAIR = Keyed(
    "pairs",
    {"user_id": Kind.TEXT, "merchant_id": Kind.INTEGER},
    {"users": ["user_id"], "shops": ["merchant_id"], "both": ["user_id", "merchant_id"]},
)
ODD_NUMBERS = [0, -1, 7, 2**53 + 1, 2**63 - 1, -(2**63)]
UUIDS = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(200)]
ODD_TEXTS = ["José", "Jose\u0301", "a/b?c&d=e", '{"user_id": "x"}', "7", "100%", "'", '"', "+", "é" * 100]
ROWS: dict[str, list[Row]] = {
    "numbers": [(number,) for number in (*ODD_NUMBERS, *range(100, 300))],
    "devices": [(each,) for each in UUIDS],
    "pairs": [(shop, user) for shop in (0, -1, 7, 2**63 - 1) for user in (*ODD_TEXTS, *map("u{}".format, range(50)))],
}
ASKED: dict[str, list[Row]] = {
    "numbers": ROWS["numbers"][:9],
    "devices": ROWS["devices"][:3],
    "pairs": [row for row in ROWS["pairs"] if row[0] in (-1, 2**63 - 1)][:70:6],
}
SPELT: dict[str, Callable[[Any], object]] = {"devices": str.upper}
"""UUIDs come in upper case, and are asked for in lower case."""
WRONG: dict[str, list[tuple[Any, str]]] = {
    "numbers": [
        ({"account_id": value}, "account_id: an id here must be a whole number") for value in ("7", 7.0, None, 2**63)
    ],
    "devices": [({"device": value}, "device: an id here must be a UUID") for value in (7, UUIDS[0][1:], "x", None)],
    "pairs": [
        ({"user_id": "u1", "merchant_id": "7"}, "merchant_id: an id here must be a whole number"),
        ({"user_id": 1, "merchant_id": 7}, "user_id: Input should be a valid string"),
        ({"user_id": "u1 ", "merchant_id": 7}, "user_id: an id must not begin or end with a blank"),
        ({"user_id": "u1"}, "merchant_id: Field required"),
    ],
}
NOBODY = str(uuid.UUID(int=1))
UNKNOWN: dict[str, list[tuple[Row, Members, str]]] = {
    "numbers": [((8,), 8, "No feature view knows 8: check the id, or load it.")],
    "devices": [((NOBODY,), NOBODY, f"No feature view knows '{NOBODY}': check")],
    "pairs": [
        ((8, "u1"), {"merchant_id": 8}, "No feature view knows merchant_id 8: check the id, or load it."),
        ((7, "u"), {"user_id": "u"}, "No feature view knows user_id 'u': check the id, or load it."),
        ((8, "u"), {"merchant_id": 8, "user_id": "u"}, "knows user_id 'u', nor merchant_id 8: check"),
    ],
}


@dataclass(frozen=True)
class Case:
    """A use case with its rows, in the online store and as a version."""

    settings: Settings
    keyed: Keyed
    version: ModelVersion

    @property
    def use_case(self) -> UseCase:
        return self.keyed.use_case

    @property
    def name(self) -> str:
        return self.keyed.name

    @property
    def rows(self) -> list[Row]:
        return ROWS[self.name]

    def named(self, row: Row) -> dict[str, Any]:
        return dict(zip(self.keyed.keys.names, row, strict=True))

    def ask(self, *requests: Callable[[httpx.AsyncClient], Any], **settings: Any) -> list[httpx.Response]:
        """The service's answers, one after the other."""

        async def main() -> list[httpx.Response]:
            async with keyed.served(self.settings.model_copy(update=settings), self.keyed, self.version) as client:
                return [await each(client) for each in requests]

        return asyncio.run(main())

    def features(self, row: Row) -> Callable[[httpx.AsyncClient], Any]:
        if len(row) == 1:
            return lambda client: client.get(f"/features/{quote(str(row[0]), safe='')}")
        return lambda client: client.get("/features", params=self.named(row))


@pytest.fixture(scope="module")
def cases(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """All in one database."""
    export(settings)
    folder = tmp_path_factory.mktemp("extracts")
    for each in (NUMBER, DEVICE, PAIR):
        keyed.load(settings, each, each.write(folder / each.name, ROWS[each.name], SPELT.get(each.name, str)))
    made = {each.name: keyed.train_and_register(settings, each) for each in (NUMBER, DEVICE, PAIR)}
    return {each.name: Case(settings, each, made[each.name]) for each in (NUMBER, DEVICE, PAIR)}


@pytest.fixture(params=["numbers", "devices", "pairs"])
def case(cases: dict[str, Case], request: pytest.FixtureRequest) -> Case:
    return cases[request.param]


def test_the_training_set_has_each_entity_once_in_the_order_of_its_keys(case: Case) -> None:
    built = build_training_set(case.settings, case.use_case, AS_OF)
    keys = case.keyed.keys
    assert [keys.values(entity) for entity in built.entities] == sorted(case.rows)
    assert (built.rows_digest, built.contract.keys.difference(keys)) == (case.version.facts.rows_digest, "")
    train, out = built.split(case.use_case.split)
    assert 0 < len(out.frame) < len(train.frame)
    assert not {*train.entities} & {*out.entities}


def test_the_online_store_agrees_with_the_snapshots(case: Case) -> None:
    whole = check_parity(case.settings, case.use_case, as_of=AS_OF)
    assert (whole.users, whole.agrees, whole.misfit) == (len(case.rows), True, "")
    drawn = check_parity(case.settings, case.use_case, as_of=AS_OF, sample=20)
    assert (drawn.users, drawn.agrees) == (20, True)


def test_the_service_answers_for_each_as_the_batch_score_does(case: Case, tmp_path: Path) -> None:
    entities = [case.named(row) for row in case.rows]
    scores = score(case, tmp_path)
    batch, stream, *singles = case.ask(
        lambda client: client.post("/predict/batch", json={"instances": entities}),
        lambda client: client.post("/predict/batch", json={"instances": entities}, headers=ARROW),
        *(partial(predict, body=case.named(row)) for row in ASKED[case.name]),
    )
    answers = batch.json()["predictions"]
    assert [{name: each[name] for name in case.keyed.keys.names} for each in answers] == entities
    rows = arrow.ipc.open_stream(io.BytesIO(stream.content)).read_all()
    for name in (*entities[0], "probability"):
        assert rows[name].to_pylist() == [each[name] for each in answers]
    texts = [case.keyed.keys.text(case.keyed.keys.entity(row)) for row in case.rows]
    assert scores == pytest.approx(dict(zip(texts, (each["probability"] for each in answers), strict=True)))
    for row, single in zip(ASKED[case.name], singles, strict=True):
        assert single.json()["probability"] == pytest.approx(answers[case.rows.index(row)]["probability"])


ARROW = {"Accept": "application/vnd.apache.arrow.stream"}


async def predict(client: httpx.AsyncClient, *, body: Any) -> httpx.Response:
    return await client.post("/predict", json=body)


def score(case: Case, folder: Path) -> dict[str, float]:
    """By the text of the entity: equal in both places, and resumed after any chunk."""
    run = partial(score_users, case.settings, case.use_case, as_of=AS_OF, version=case.version.version)
    first = run(range_users=7)
    to_files = run(to=str(folder), range_users=64)
    assert first.tally.answered == to_files.tally.answered == len(case.rows)
    query = f"SELECT entity, probability FROM scores WHERE model = 'keyed_{case.name}'"
    stored = dict(fetch(case.settings, query))
    files = [parquet.read_table(part).select(["entity", "probability"]).to_pylist() for part in folder.glob("*/part-*")]
    assert {each["entity"]: each["probability"] for part in files for each in part} == pytest.approx(stored)
    return stored


def test_an_interrupted_score_goes_on_with_the_ranges_that_are_left(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.scoring import work as module

    def first_ranges(*given: Any, **named: Any) -> Iterator[Any]:
        if given[-1].number >= 2:
            raise OSError("the disk is full")
        yield from read_chunks(*given, **named)

    read_chunks = module.read_chunks
    later = AS_OF.replace(month=2, day=10)
    run = partial(score_users, case.settings, case.use_case, as_of=later, version=case.version.version, range_users=50)
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_chunks", first_ranges)
        with pytest.raises(Exception, match="the disk is full"):
            run()
    whole = run()
    assert (whole.new, whole.tally.answered) == (len(case.rows) - 100, len(case.rows))


def test_the_features_of_an_entity_are_shown_whatever_its_keys_are(case: Case) -> None:
    for row, shown in zip(ASKED[case.name], case.ask(*map(case.features, ASKED[case.name])), strict=True):
        assert shown.status_code == 200, shown.text
        assert shown.json()["entity"] == case.keyed.keys.members(case.keyed.keys.entity(row))
        assert {each["verdict"] for each in shown.json()["features"]} == {"PRESENT"}


def test_an_unknown_entity_is_named_in_every_door(case: Case) -> None:
    for row, members, words in UNKNOWN[case.name]:
        single, shown, batch = case.ask(
            partial(predict, body=case.named(row)),
            case.features(row),
            lambda client, row=row: client.post("/predict/batch", json={"instances": [case.named(row)]}),
        )
        problem = batch.json()["predictions"][0]["problem"]
        for told in (single.json(), shown.json(), problem):
            assert (told["status"], told["code"], told["entity"]) == (404, "entity-not-found", members)
            assert words in told["detail"]


def test_a_key_of_another_type_is_refused_in_every_door_with_a_sentence(case: Case) -> None:
    for body, words in WRONG[case.name]:
        single, batch = case.ask(
            partial(predict, body=body),
            lambda client, body=body: client.post(
                "/predict/batch", json={"instances": [body, case.named(case.rows[0])]}
            ),
        )
        refused, answered = batch.json()["predictions"]
        assert (single.status_code, refused["problem"]["status"], "probability" in answered) == (422, 422, True)
        assert f"body.{words}" in single.json()["detail"]
        assert words in refused["problem"]["detail"]


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("numbers", "/features/007", "path.account_id: an id here must be a whole number"),
        ("numbers", "/features/9223372036854775808", "path.account_id: an id here must be a whole number"),
        ("devices", f"/features/{UUIDS[0][:-1]}", "path.device: an id here must be a UUID"),
        ("pairs", "/features?user_id=u1&merchant_id=x", "query.merchant_id: an id here must be a whole number"),
        ("pairs", "/features?user_id=u1", "query.merchant_id: Field required"),
        ("pairs", "/features?user_id=u1&merchant_id=7&merchant_id=0", "query.merchant_id: give one value"),
        ("pairs", "/features?user_id=%ff&merchant_id=7", "percent-encoded UTF-8"),
        ("pairs", "/features?user_id=u1&merchant_id=7&user=u1", "query.user: Extra inputs are not permitted"),
    ],
)
def test_a_path_or_query_that_is_no_key_is_refused_with_a_sentence(
    cases: dict[str, Case], name: str, path: str, words: str
) -> None:
    (refused,) = cases[name].ask(lambda client: client.get(path))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")
    assert words in refused.json()["detail"]


def test_a_uuid_in_upper_case_is_the_same_entity(cases: dict[str, Case]) -> None:
    case = cases["devices"]
    upper, lower, shown = case.ask(
        partial(predict, body={"device": UUIDS[0].upper()}),
        partial(predict, body={"device": UUIDS[0]}),
        case.features((UUIDS[0].upper(),)),
    )
    assert upper.json()["probability"] == lower.json()["probability"]
    assert upper.json()["device"] == shown.json()["entity"] == UUIDS[0]


def test_an_answer_is_traced_to_the_rows_of_each_of_its_keys(case: Case) -> None:
    row = ASKED[case.name][-1]
    unknown = UNKNOWN[case.name][0][0]
    bodies = [case.named(row), case.named(unknown)]
    single, refused, batch = case.ask(
        *(partial(predict, body=body) for body in bodies),
        lambda client: client.post("/predict/batch", json={"instances": bodies}),
        ledger="process",
    )
    settings = case.settings
    ship(settings, settings.ledger_folder)
    for request_id in (single.json()["request_id"], f"{batch.json()['request_id']}:0"):
        chain = trace_request(settings, case.use_case, request_id)
        assert isinstance(chain, AnswerChain)
        assert chain.answer.entity == case.keyed.keys.members(case.keyed.keys.entity(row))
        assert not [each.broken for each in chain.values if each.broken]
        assert sorted(each.table for each in chain.values) == sorted(f"{case.name}_{view}" for view in case.keyed.views)
    saved = read_answer(single.text, case.use_case, "a file")
    assert saved.entity == case.keyed.keys.members(case.keyed.keys.entity(row))
    assert trace_answer(settings, case.use_case, saved).broken == ()
    assert refused.status_code == 404
    chain = trace_request(settings, case.use_case, refused.json()["request_id"])
    assert isinstance(chain, AnswerChain)
    assert chain.answer.entity == case.keyed.keys.members(case.keyed.keys.entity(unknown))


def test_a_version_is_reproduced_and_compared(case: Case) -> None:
    again = reproduce(case.settings, case.use_case, case.version)
    assert again.agrees, again.verdict
    assert again.version == case.version.version
    contest = hold_contest(
        case.settings,
        case.version,
        case.version,
        training_set_for=lambda _: build_training_set(case.settings, case.use_case, AS_OF),
    )
    assert contest.labels.size > 10
    assert contest.champion is not None
    assert (contest.challenger == contest.champion).all()


def test_feasts_own_store_holds_and_answers_the_same(cases: dict[str, Case]) -> None:
    case = cases["pairs"]
    stock = case.settings.model_copy(update={"online_store": "postgres"})
    with feature_store(stock) as store, quiet():
        store.apply(case.keyed.feast_objects())
    materialise_only(stock, case)
    assert check_parity(stock, case.use_case, as_of=AS_OF).agrees
    compared = compare_stores(case.settings, stock, case.keyed.extract)
    assert (compared.users, compared.differences) == (len(case.rows), 0)
    bodies = [partial(predict, body=case.named(row)) for row in ASKED[case.name]]
    unknown = partial(predict, body=case.named(UNKNOWN[case.name][0][0]))
    *ours, ours_unknown = case.ask(*bodies, unknown)
    *theirs, theirs_unknown = case.ask(*bodies, unknown, online_store="postgres")
    assert [each.json()["probability"] for each in theirs] == [each.json()["probability"] for each in ours]
    assert theirs_unknown.json()["entity"] == ours_unknown.json()["entity"]


def materialise_only(settings: Settings, case: Case) -> None:
    """The views of one case, as Feast does."""
    views: Sequence[str] = [f"{case.name}_{view}_fv" for view in case.keyed.views]
    with feature_store(settings) as store, quiet():
        store.materialize(AS_OF.replace(day=1), AS_OF, feature_views=[*views])


def test_feasts_own_store_is_refused_for_uuids_before_anything_is_loaded(cases: dict[str, Case]) -> None:
    stock = cases["devices"].settings.model_copy(update={"online_store": "postgres"})
    with pytest.raises(ConfigurationError, match="keyed by a UUID, which only the online store online_store"):
        check_features(stock, cases["devices"].use_case)
    check_features(stock, cases["numbers"].use_case)

"""The console's pages, of a real service with its ledger: what they show, to whom, and what they refuse."""

import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg
import pytest
from psycopg import sql

from asof.serving.access.key_editing import add_key
from asof.serving.access.scopes import ADMIN, OUTCOMES, PREDICT
from asof.settings import Settings
from console.access import COOKIE
from console.application import PAGES
from tests.kits.ledger import monitored
from tests.kits.machine.databases import fresh
from tests.kits.service.churn_service import KEYS, ChurnService
from tests.kits.service.console import served_console
from tests.kits.service.protocols import random_bodies
from training.release.promotion.history import Change, Event, append, writing

MARKUP = "<script>alert(1)</script>"
REASON = f"passed the gate {MARKUP}"
VOID = {"meta", "link", "input", "br", "img", "hr"}


@pytest.fixture(scope="module")
def client(churn_service: ChurnService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Without API keys; version 1 is in Production, by a history of two entries."""
    settings = churn_service.settings.model_copy(update={"console_service_url": str(churn_service.client.base_url)})
    criteria = [{"name": "AUC above chance", "passed": True, "figures": {}, "reason": REASON}]
    with writing(settings) as connection:
        changes = [Change(Event.PROMOTED, "1", None, REASON, {"criteria": criteria})]
        append(connection, "streamflow_churn", changes, who="anna")
    (settings.home / "inspections").mkdir(exist_ok=True)
    for name in ("churn-2024-01-31.html", "churn-2024-02-29T1200Z.html", "churn_two-2024-01-31.html"):
        (settings.home / "inspections" / name).write_text(f"<p>{name}</p>", encoding="utf-8")
    with served_console(settings, tmp_path_factory.mktemp("console")) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(
    churn_service: ChurnService, client: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Guarded"]:
    """With a key for each scope."""
    file = tmp_path_factory.mktemp("keys") / "api-keys"
    keys = {name: add_key(file, name, [name])[1] for name in (ADMIN, PREDICT, OUTCOMES)}
    settings = churn_service.settings.model_copy(
        update={"api_keys": file, "console_service_url": str(churn_service.client.base_url)}
    )
    with served_console(settings, tmp_path_factory.mktemp("guarded")) as client:
        yield Guarded(client, keys)


class Guarded:
    def __init__(self, client: httpx.Client, keys: dict[str, str]) -> None:
        self.client, self.keys = client, keys

    def get(self, path: str, key: str) -> tuple[int, str]:
        answer = self.client.get(path, headers={"Cookie": f"{COOKIE}={self.keys[key]}"})
        return answer.status_code, answer.text


class Tags(HTMLParser):
    """Fails for a tag that is not closed in order; `text` is what a person reads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", Tags(page).text)


def test_the_first_page_names_what_is_in_production(client: httpx.Client) -> None:
    text = text_of(client.get("/").text)
    assert "Version 1 is in Production since" in text
    assert "Promoted by anna: passed the gate" in text


def test_the_production_page_has_criteria_history_and_training_set(
    client: httpx.Client, churn_service: ChurnService
) -> None:
    page = client.get("/churn/production")
    assert page.status_code == 200
    text = text_of(page.text)
    assert "Version 1 of streamflow_churn is in Production since" in text
    assert churn_service.model.bundle.run_id in text
    assert "AUC above chance passed" in text
    assert "The history is intact." in text
    assert MARKUP in text
    assert MARKUP not in page.text


def test_a_prediction_shows_each_value_with_its_age_and_where_it_came_from(client: httpx.Client) -> None:
    page = client.post("/churn/predict", data={"user_id": "good"})
    text = text_of(page.text)
    assert page.status_code == 200
    assert "model streamflow_churn version" in text
    assert re.search(r"watch_hours_30d [\d.]+ PRESENT \d{4}-\d\d-\d\d \d\d:\d\d \d+ d usage_agg_30d_fv", text)
    (link,) = re.findall(r'href="(/churn/trace/[^"]+)"', page.text)
    trace = client.get(link)
    assert trace.status_code == 200
    assert "A prediction (200) of good, answered" in text_of(trace.text)


@pytest.mark.parametrize("user", KEYS, ids=range(len(KEYS)))
def test_an_id_with_any_characters_is_asked_and_shown_as_it_is(client: httpx.Client, user: str) -> None:
    page = client.post("/churn/predict", data={"user_id": user})
    assert page.status_code == 200
    assert "probability" in text_of(page.text)


def test_a_refusal_is_shown_with_its_reason(client: httpx.Client) -> None:
    page = client.post("/churn/predict", data={"user_id": "nobody <b>"})
    assert page.status_code == 200
    text = text_of(page.text)
    assert "404 entity-not-found" in text
    assert "nobody <b>" in text


@pytest.mark.parametrize("body", ["", "{", "NaN", "[" * 10_000, '{"features": ["\\ud800"]}', '{"features": 1e999}'])
def test_what_is_no_request_is_answered_by_the_service(client: httpx.Client, body: str) -> None:
    page = client.post("/breast_cancer/predict", data={"body": body})
    assert page.status_code == 200
    assert "422 invalid-request" in text_of(page.text)


def test_a_service_that_is_away_is_named(churn_service: ChurnService, tmp_path: Path) -> None:
    settings = churn_service.settings.model_copy(update={"console_service_url": "http://127.0.0.1:9"})
    with served_console(settings, tmp_path) as client:
        page = client.post("/churn/predict", data={"user_id": "good"})
    assert page.status_code == 503
    assert "The prediction service at http://127.0.0.1:9 does not answer" in text_of(page.text)


def test_a_database_that_is_away_is_a_503(server: Settings, mlflow_tables: str, tmp_path: Path) -> None:
    with fresh(server, tmp_path / "home", mlflow_tables) as own, served_console(own, tmp_path) as client:
        assert client.get("/churn/scoring").status_code == 200
        with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
            name = sql.Identifier(own.database().database or "")
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        page = client.get("/churn/scoring")
    assert page.status_code == 503
    assert "PostgreSQL does not answer" in text_of(page.text)


def test_an_open_alert_is_on_the_first_page_and_what_to_type_is_code(
    server: Settings, mlflow_tables: str, tmp_path: Path
) -> None:
    with fresh(server, tmp_path / "home", mlflow_tables) as own, served_console(own, tmp_path) as client:
        assert "Nothing is in Production." in text_of(client.get("/").text)
        run = monitored.plant(own, "churn", monitored.figures())
        monitored.plant_promotions(own, "streamflow_churn", ("1", "the first"), ("2", "AUC gain 0.21"))
        assert "Version 2 is in Production since" in text_of(client.get("/").text)
        assert "No alert is open; monitored" in text_of(client.get("/").text)
        monitored.plant_alert(own, run, title="a closed one", events=[("closed", {"reason": "x"})])
        detail = {"next": "Run `python -m flows monitor churn --retrain`."}
        monitored.plant_alert(own, run, severity="warning", title="drift", detail=detail)
        monitored.plant_alert(own, run, version="2", title="Worse: see `flows report`", detail=detail)
        first, page = client.get("/").text, client.get("/churn/monitoring").text
    assert "2 open alerts: Worse: see flows report" in text_of(first)
    assert "<code>flows report</code>" in first
    assert "Run <code>python -m flows monitor churn --retrain</code>." in page


def test_data_checks_are_those_of_the_use_case_and_of_no_other(client: httpx.Client) -> None:
    page = client.get("/churn/data").text
    assert re.findall(r'href="/churn/data/([^"]+)"', page) == ["churn-2024-02-29T1200Z.html", "churn-2024-01-31.html"]
    assert client.get("/churn/data/churn-2024-01-31.html").text == "<p>churn-2024-01-31.html</p>"
    for name in ("churn_two-2024-01-31.html", "churn-2024-03-31.html", "..%2Fkeys", "%2Fetc%2Fpasswd"):
        assert client.get(f"/churn/data/{name}").status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing/production", 404),
        ("/churn/nothing", 404),
        ("/churn/trace/unknown", 404),
        ("/churn/production%00", 404),
    ],
)
def test_what_does_not_exist_is_a_404_that_says_so(client: httpx.Client, path: str, status: int) -> None:
    page = client.get(path)
    assert page.status_code == status
    assert "All use cases" in text_of(page.text)


def test_no_page_has_a_script_or_loads_anything_from_another_host(client: httpx.Client) -> None:
    for path in ["/", *(f"/churn/{page.name}" for page in PAGES)]:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "<script" not in answer.text
        assert re.findall(r'(?:src|href)="((?:https?:)?//[^"]+)"', answer.text) == []
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert text_of(answer.text)


def test_without_keys_only_this_machines_names_are_answered(client: httpx.Client) -> None:
    assert client.get("/", headers={"Host": "attacker.example"}).status_code == 403
    assert (
        client.post("/churn/predict", data={"user_id": "good"}, headers={"Host": "attacker.example"}).status_code == 403
    )
    assert client.get("/", headers={"Host": "192.0.2.7:3100"}).status_code == 200
    assert client.get("/", headers={"Host": "[::1]:3100"}).status_code == 200


def test_a_form_of_another_site_is_refused(client: httpx.Client) -> None:
    for headers in ({"Origin": "http://attacker.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        page = client.post("/churn/predict", data={"user_id": "good"}, headers=headers)
        assert page.status_code == 403, headers


@pytest.mark.parametrize(("body", "status"), [(b"user_id=%ff", 422), (b"x" * 70_000, 422)], ids=["utf8", "long"])
def test_a_malformed_form_is_refused(client: httpx.Client, body: bytes, status: int) -> None:
    assert client.post("/churn/predict", content=body).status_code == status


@pytest.mark.soak
@pytest.mark.parametrize("path", ["/churn/predict", "/breast_cancer/predict", "/sign-in", "/sign-out"])
def test_two_thousand_random_forms_never_cause_an_internal_error(client: httpx.Client, path: str) -> None:
    """Many at a time, as the page of a prediction waits for the ledger."""
    forms = [_encoded(each) for each in random_bodies(_form, 2000, seed=13)]
    with ThreadPoolExecutor(24) as pool:
        statuses = {*pool.map(lambda form: client.post(path, content=form).status_code, forms)}
    assert statuses <= {200, 303, 403, 404, 422}


def _form(chance: random.Random) -> Any:
    """Its fields, with any texts."""
    names = ["user_id", "overrides", "key", "body", "", "\x00"]
    texts = ["good", "nobody", "null-fee", "{}", "[1]", '{"features": [1]}', "NaN", "\x00", "é" * 700]
    return {chance.choice(names): chance.choice(texts) for _ in range(chance.randrange(1, 4))}


def _encoded(body: bytes) -> bytes:
    """An object as a form, anything else as it is."""
    try:
        fields = json.loads(body)
    except ValueError:
        return body
    return urlencode(fields, errors="replace").encode() if isinstance(fields, dict) else body


def test_without_a_key_every_page_asks_to_sign_in(guarded: Guarded) -> None:
    for path in [
        "/",
        *(f"/churn/{page.name}" for page in PAGES),
        "/churn/data/churn-2024-01-31.html",
        "/churn/trace/x",
    ]:
        answer = guarded.client.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in?next=")
    assert guarded.client.post("/churn/predict", data={"user_id": "good"}).status_code == 303


@pytest.mark.parametrize("key", [ADMIN, PREDICT, OUTCOMES])
def test_a_key_shows_what_its_scope_admits_and_nothing_else(guarded: Guarded, key: str) -> None:
    _, first = guarded.get("/", key)
    assert ("is in Production since" in first) == (key == ADMIN)
    for page in PAGES:
        status, text = guarded.get(f"/churn/{page.name}", key)
        assert status == (200 if page.scope == key else 403), page.name
        assert (f'href="/churn/{page.name}"' in text) == (page.scope == key and status == 200)


def test_the_service_is_asked_with_the_visitors_own_key(guarded: Guarded) -> None:
    headers = {"Cookie": f"{COOKIE}={guarded.keys[PREDICT]}"}
    page = guarded.client.post("/churn/predict", data={"user_id": "good"}, headers=headers)
    assert page.status_code == 200
    assert "/churn/trace/" not in page.text, "a trace needs the scope admin"


def test_signing_in_and_out(guarded: Guarded) -> None:
    client = guarded.client
    wrong = client.post("/sign-in", data={"key": "asof_wrong"})
    assert wrong.status_code == 403
    assert COOKIE not in wrong.headers.get("set-cookie", "")
    for target, place in [
        ("/churn/production", "/churn/production"),
        ("//attacker.example", "/"),
        ("/\\attacker", "/"),
    ]:
        right = client.post("/sign-in", params={"next": target}, data={"key": f" {guarded.keys[ADMIN]} "})
        assert (right.status_code, right.headers["location"]) == (303, place)
        assert {"HttpOnly", "SameSite=strict"} <= set(right.headers["set-cookie"].split("; "))
    assert client.get("/churn/production").status_code == 200
    assert client.post("/sign-out").status_code == 303
    assert client.get("/churn/production").status_code == 303


@pytest.mark.parametrize("cookie", ["", "asof_wrong", '"; x', "é"])
def test_a_cookie_that_is_no_key_shows_nothing(guarded: Guarded, cookie: str) -> None:
    answer = guarded.client.get("/churn/production", headers={"Cookie": f"{COOKIE}={cookie}".encode()})
    assert answer.status_code == 303

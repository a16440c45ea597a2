"""The console in a real browser: by keyboard alone, on a phone and on a desk, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from asof.serving.access.key_editing import add_key
from asof.serving.access.scopes import ADMIN, PREDICT
from console.application import PAGES
from tests.browser.contrast import too_faint
from tests.browser.webdriver import ENTER, TAB, Browser, browser
from tests.kits.service.churn_service import ChurnService
from tests.kits.service.console import served_console
from training.release.promotion.history import Change, Event, append, writing

MAX_TABS = 40


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file of keys, and the key in it that may see every page."""
    file = tmp_path_factory.mktemp("keys") / "api-keys"
    return file, add_key(file, "anna", [ADMIN, PREDICT])[1]


@pytest.fixture(scope="module")
def console(
    churn_service: ChurnService, key: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    address = str(churn_service.client.base_url)
    settings = churn_service.settings.model_copy(update={"api_keys": key[0], "console_service_url": address})
    with writing(settings) as connection:
        change = Change(Event.PROMOTED, "1", None, "passed the gate", {"criteria": []})
        append(connection, "streamflow_churn", [change], who="anna")
    with served_console(settings, tmp_path_factory.mktemp("console")) as client:
        yield client


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as window:
        window.show(1440, scheme="light")
        yield window


@pytest.fixture(scope="module")
def signed_in(window: Browser, console: httpx.Client, key: tuple[Path, str]) -> Browser:
    """By keyboard: the field has the focus from the start."""
    window.open(f"{console.base_url}/churn/production")
    assert window.run("return location.pathname") == "/sign-in"
    window.type(key[1] + ENTER)
    wait_for(window, "/churn/production")
    return window


def wait_for(window: Browser, path: str) -> None:
    """Waits until the page is there; pytest's own timeout is that of the browser's script."""
    script = f"return location.pathname === '{path}' && document.readyState === 'complete'"
    for _ in range(600):
        if window.run(script):
            return
        window.run("return new Promise(done => setTimeout(done, 50))")
    raise AssertionError(f"{window.run('return location.href')} is not {path}")


def tab_to(window: Browser, text: str) -> None:
    """Presses the tabulator until the focus is on what bears the text, and the focus can be seen each time."""
    script = (
        "const e = document.activeElement; return [e.textContent.trim() || e.name, getComputedStyle(e).outlineStyle]"
    )
    for _ in range(MAX_TABS):
        window.type(TAB)
        focused, outline = window.run(script)
        assert outline != "none", f"the focus on {focused} cannot be seen"
        if focused == text:
            return
    raise AssertionError(f"{MAX_TABS} tabulators do not reach {text}")


def test_every_page_is_reached_by_keyboard(signed_in: Browser, console: httpx.Client) -> None:
    signed_in.open(f"{console.base_url}/")
    tab_to(signed_in, "StreamFlow customer churn")
    signed_in.type(ENTER)
    wait_for(signed_in, "/churn/production")
    for page in PAGES:
        tab_to(signed_in, page.title)
        signed_in.type(ENTER)
        wait_for(signed_in, f"/churn/{page.name}")
        assert signed_in.run("return document.querySelector('[aria-current=page]').textContent") == page.title


def test_a_prediction_is_made_and_traced_by_keyboard(signed_in: Browser, console: httpx.Client) -> None:
    signed_in.open(f"{console.base_url}/churn/predict")
    tab_to(signed_in, "user_id")
    signed_in.run("document.activeElement.value = ''")
    signed_in.type("good" + ENTER)
    wait_for(signed_in, "/churn/predict")
    assert signed_in.run("return document.querySelector('section h2').textContent") == "Answer"
    assert "PRESENT" in signed_in.run("return document.querySelector('main').textContent")
    tab_to(signed_in, "where each value came from")
    signed_in.type(ENTER)
    signed_in.run("return new Promise(done => setTimeout(done, 200))")
    request = signed_in.run("return document.querySelector('main code').textContent")
    wait_for(signed_in, f"/churn/trace/{request}")
    assert "A prediction (200) of good" in signed_in.run("return document.querySelector('main').textContent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_page_fits_and_can_be_read(
    signed_in: Browser, console: httpx.Client, tmp_path: Path, width: int, scheme: str
) -> None:
    signed_in.show(width, scheme=scheme)
    for path in ["/", *(f"/churn/{page.name}" for page in PAGES)]:
        signed_in.open(f"{console.base_url}{path}")
        assert signed_in.run("return document.documentElement.scrollWidth") <= width, path
        assert too_faint(signed_in, "main *, .bar *") == [], path
        signed_in.picture(tmp_path / f"{path.rpartition('/')[2] or 'index'}.png")
        assert signed_in.errors() == []


def test_signing_out_shows_nothing_any_more(signed_in: Browser, console: httpx.Client) -> None:
    signed_in.open(f"{console.base_url}/churn/production")
    tab_to(signed_in, "Sign out anna")
    signed_in.type(ENTER)
    wait_for(signed_in, "/sign-in")
    signed_in.open(f"{console.base_url}/churn/production")
    assert signed_in.run("return location.pathname") == "/sign-in"

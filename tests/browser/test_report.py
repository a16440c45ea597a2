"""The monitoring page in a real browser: on a phone and on a desk, light and dark, by keyboard, and on paper."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitoring.report.evidence import Evidence
from monitoring.report.page import page
from tests.browser.contrast import too_faint
from tests.browser.webdriver import ENTER, TAB, Browser, browser
from tests.kits.ledger.monitored import figures

SMALLEST = 9.0
"""Pixels of the smallest text in a drawing, as it is shown."""
TEXTS = """
return [...document.querySelectorAll('svg')].filter(e => e.getBoundingClientRect().width > 0)
  .flatMap(e => [...e.querySelectorAll('text')].map(word =>
    parseFloat(getComputedStyle(word).fontSize) * e.getBoundingClientRect().width / e.viewBox.baseVal.width));"""
BEYOND = """
return [...document.querySelectorAll('svg, img, figure, .tiles div')]
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).length;"""
CUT = """
return [...document.querySelectorAll('svg[role=img]')].filter(e => e.getBoundingClientRect().width > 0)
  .flatMap(e => [...e.querySelectorAll('text')].filter(word => {
    const [inner, outer] = [word.getBoundingClientRect(), e.getBoundingClientRect()];
    return inner.left < outer.left - 1 || inner.right > outer.right + 1;
  }).map(word => [e.getAttribute('aria-label'), word.textContent]));"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a page of 24 windows and 20 features."""
    file = tmp_path_factory.mktemp("page") / "churn.html"
    evidence = Evidence("churn", "Churn", "auc", "AUC", datetime(2026, 1, 2, tzinfo=UTC), figures(24, 20))
    file.write_text(page(evidence), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_fits_and_can_be_read(window: Browser, address: str, tmp_path: Path, width: int, scheme: str) -> None:
    window.show(width, scheme=scheme)
    window.open(address)
    assert window.run("return document.documentElement.scrollWidth") <= width
    assert window.run(BEYOND) == 0
    assert window.run(CUT) == []
    assert min(window.run(TEXTS)) >= SMALLEST
    assert too_faint(window, "body *") == []
    window.picture(tmp_path / "page.png")
    assert window.errors() == []
    assert window.run("return performance.getEntriesByType('resource').length") == 0


def test_every_table_and_section_is_reached_by_keyboard(window: Browser, address: str) -> None:
    window.show(1440, scheme="light")
    window.open(address)
    window.type(TAB)
    assert window.run("return document.activeElement.textContent") == "To the content"
    window.type(ENTER)
    assert window.run("return location.hash") == "#main"
    closed = "return document.querySelectorAll('details:not([open])').length"
    before, reached = window.run(closed), set()
    for _ in range(8):
        window.type(TAB)
        name, outline = window.run(
            "const e = document.activeElement; return [e.tagName, getComputedStyle(e).outlineStyle]"
        )
        assert outline != "none"
        reached.add(name)
        if name == "SUMMARY":
            window.type(ENTER)
    assert reached >= {"SUMMARY", "DIV"}  # a table that is open can be scrolled by the arrows
    assert window.run(closed) < before


def test_on_paper_every_table_is_there(window: Browser, address: str) -> None:
    window.open(address)
    window.on_paper()
    heights = window.run("return [...document.querySelectorAll('table')].map(e => e.getBoundingClientRect().height)")
    assert min(heights) > 0
    assert window.run("return getComputedStyle(document.querySelector('nav')).display") == "none"

"""The monitoring page of a planted story: well-formed, whole without any other file, and telling what came of it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import psycopg
import pytest

from asof.settings import Settings
from asof.use_cases import load
from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.records.tables import create_tables
from monitoring.report.evidence import Evidence, read_evidence
from monitoring.report.judgement import State, judge
from monitoring.report.page import MOST_WINDOWS, SECTIONS, newest_windows, page, ticked, write_page
from monitoring.report.sections.performance import promotion_events
from tests.kits.ledger import monitored
from tests.kits.machine.databases import fresh
from training.release.promotion.history import Event

CHURN = load("churn")
VOID = {"meta", "link", "br", "img", "input", "hr"}
TITLE = "AUC 0.612 lies below the interval at promotion"
EVENTS: list[tuple[str, dict[str, object]]] = [
    ("emitted", {}),
    ("seen-again", {"as_of": "2024-07-31T00:00:00+00:00", "title": TITLE, "run": "r1"}),
    ("seen-again", {"as_of": "2024-08-31T00:00:00+00:00", "title": f"{TITLE}, still", "run": "r2"}),
    ("claimed", {}),
    ("handled", {"version": "2", "as_of": "2024-08-31T00:00:00+00:00", "promoted": True, "reasons": []}),
    ("closed", {"reason": "version 2 took over", "by": "monitor"}),
]


@pytest.fixture(scope="module")
def own(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """12 windows: version 1 is wrong from July on; the alert led to version 2, which is in Production."""
    with fresh(server, tmp_path_factory.mktemp("home")) as settings:
        run = monitored.plant(settings, CHURN.name, monitored.figures())
        monitored.plant_alert(settings, run, title=TITLE, as_of=monitored.months(7)[-1], events=EVENTS)
        monitored.plant_promotions(settings, CHURN.model_name, ("1", "the first"), ("2", "AUC gain 0.21"))
        yield settings


@pytest.fixture(scope="module")
def evidence(own: Settings) -> Evidence:
    return read_evidence(own, CHURN)


@pytest.fixture(scope="module")
def html(evidence: Evidence) -> str:
    return page(evidence)


class Elements(HTMLParser):
    """All elements with their attributes, the open ones at the end, and what was closed in the wrong order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def texts(html: str) -> str:
    """What a reader sees, with single blanks."""
    body = html[html.index("<body>") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_the_page_is_well_formed(html: str) -> None:
    elements = Elements(html)
    assert (elements.wrong, elements.open) == ([], [])
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in elements.found if tag == "a"]
    assert {each.removeprefix("#") for each in links} <= set(ids)


def test_the_page_needs_no_other_file_and_runs_no_script(html: str) -> None:
    tags = {tag for tag, _ in Elements(html).found}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "img"}
    named = re.findall(r"""(?:src|srcset|href|action|data)="([^"]*)"|url\(([^)]*)\)|@import""", html)
    assert {first for first, _ in named if not first.startswith("#")} == set()
    assert not any(second for _, second in named)
    assert set(re.findall(r"https?://[^\s\"'<)]+", html)) == {"http://www.w3.org/2000/svg"}


def test_every_drawing_has_a_name_and_is_well_formed(html: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) > 40
    for each in drawings:
        root = ElementTree.fromstring(each)
        assert root.get("aria-hidden") == "true" or (root.get("role") == "img" and root.get("aria-label"))
        assert "nan" not in each


def test_every_table_has_a_caption_and_headings_of_columns_and_rows(html: str) -> None:
    tables = re.findall(r"<table>.*?</table>", html, re.DOTALL)
    assert len(tables) >= len(SECTIONS)
    for each in tables:
        columns = each.count('<th scope="col">')
        rows = re.findall(r"<tr>.*?</tr>", each.partition("<tbody>")[2], re.DOTALL)
        assert "<caption>" in each
        for row in rows:
            assert 'scope="row"' in row or f'colspan="{columns}"' in row
            assert 'colspan="' in row or row.count("</td>") + 1 == columns, row


def test_behind_every_section_with_drawings_is_a_table(html: str) -> None:
    for section in re.findall(
        r'<section id="(?:perf|calib|estim|slices|drift|scores|matur|verd|vol).*?</section>', html, re.DOTALL
    ):
        assert section.count("<figure") == 0 or "<table>" in section


def test_the_story_of_the_alert_is_told_in_order(html: str) -> None:
    told = texts(html)
    assert "Version 2 is still right." in told
    assert f"It replaced version 1 on {datetime.now(UTC):%Y-%m-%d}" in told
    story = [f"{TITLE}, still", "window 2024-08-31", "opened", TITLE, "Prefect was told", "seen again, 2 times"]
    story += ["retraining began", "retrained", "version 2 was trained as of 2024-08-31, and was promoted"]
    story += ["closed", "version 2 took over"]
    place = told.index("what came of each")
    for each in story:
        place = told.index(each, place)


def test_too_few_rows_are_said(html: str) -> None:
    row = next(each for each in re.findall(r"<tr>.*?</tr>", html, re.DOTALL) if "contract=none" in each)
    assert '<span class="verdict too-few">too few</span>' in row
    assert "in 1 there are too few rows to say" in texts(html)


def test_an_estimate_never_stands_without_its_condition(evidence: Evidence) -> None:
    assert monitored.CONDITION in page(evidence)
    bare = [replace(each, detail={}) for each in evidence.figures]
    assert "If the concept holds" in page(replace(evidence, figures=bare))
    none_mature = [each for each in bare if each.subject is not Subject.PERFORMANCE]
    (reason,) = [each for each in judge(replace(evidence, figures=none_mature)).reasons if "Estimated" in each]
    assert "If the concept holds" in reason


def test_a_page_of_24_months_and_20_features_is_small(evidence: Evidence) -> None:
    large = replace(evidence, figures=monitored.figures(24, 20))
    assert len(page(large).encode()) < 1_000_000


def test_older_windows_are_left_out_and_that_is_said(evidence: Evidence) -> None:
    long = replace(evidence, figures=monitored.figures(MOST_WINDOWS + 5, 1))
    assert len(newest_windows(long).windows) == MOST_WINDOWS
    assert f"The newest {MOST_WINDOWS} windows; 5 older ones left out." in page(long)


def test_a_use_case_that_was_never_monitored_has_a_page_that_says_so(
    server: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("page") / "new" / "wine.html"
    with fresh(server, tmp_path_factory.mktemp("home")) as settings:
        write_page(settings, load("wine"), path)
        assert "Nothing is known yet: run <code>python -m flows monitor wine</code>." in path.read_text()
        with psycopg.connect(settings.conninfo()) as connection:
            create_tables(connection)
        assert read_evidence(settings, load("wine")).runs == []


def test_a_page_is_written_whole_and_readable_by_others(own: Settings, tmp_path: Path) -> None:
    path = tmp_path / "churn.html"
    write_page(own, CHURN, path)
    assert [each.name for each in tmp_path.iterdir()] == ["churn.html"]
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_text().endswith("</html>")


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"b=c&d', "Größe in µm", "x" * 300])
def test_any_name_of_a_feature_or_alert_is_text(evidence: Evidence, name: str) -> None:
    figures = [replace(each, about=name) if each.about == "tenure" else each for each in evidence.figures]
    alerts = [replace(each, title=name, detail={"next": name}, events=()) for each in evidence.alerts]
    html = page(replace(evidence, figures=figures, alerts=alerts))
    elements = Elements(html)
    assert (elements.wrong, elements.open) == ([], [])
    assert not any(tag == "script" for tag, _ in elements.found)


@pytest.mark.parametrize("value", [None, float("inf"), float("nan"), -5.0, 1e12, 0.0])
def test_any_value_has_a_page(evidence: Evidence, value: float | None) -> None:
    strange = [replace(each, value=value, low=value, high=None) for each in evidence.figures]
    html = page(replace(evidence, figures=strange))
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL).lower().replace("finance", "")
    assert "Infinity" not in html


def test_no_entity_of_an_alert_is_on_the_page(evidence: Evidence) -> None:
    detail = {"entity": "8547-OGMLE", "next": "Look at the load."}
    alerts = [
        replace(
            each,
            detail=detail,
            events=tuple(replace(event, detail={**event.detail, **detail}) for event in each.events),
        )
        for each in evidence.alerts
    ]
    assert "8547-OGMLE" not in page(replace(evidence, alerts=alerts))


def test_figures_of_a_number_and_of_classes_have_pages() -> None:
    window = monitored.FIRST
    ends = (40.0, 48.0, Verdict.OK, {"promotion": [44.0, 41.0, 47.0]})
    number = Figure(Subject.PERFORMANCE, "mae", 44.2, 120, window, "1", "", *ends)
    classes = Figure(Subject.PERFORMANCE, "macro_auc", 0.97, 60, window, "1", "", 0.95, 0.99)
    diabetes = Evidence("diabetes", "Diabetes", "mae", "mean absolute error", window + timedelta(days=40), [number])
    wine = Evidence("wine", "Wine", "auc", "macro AUC", window + timedelta(days=40), [classes])
    assert "Mean absolute error on the outcomes of 2024-01-31: 44.20 (40.00 to 48.00; n = 120); at promotion" in texts(
        page(diabetes)
    )
    assert judge(wine).state is State.RIGHT
    assert "that at promotion is not known" in texts(page(wine))


@pytest.mark.parametrize(
    ("words", "html"),
    [
        ("run `a <b>` now", "run <code>a &lt;b&gt;</code> now"),
        ("an odd ` one <i>", "an odd ` one &lt;i&gt;"),
        ("", ""),
    ],
)
def test_commands_in_sentences_are_code(words: str, html: str) -> None:
    assert ticked(words) == html


def test_a_version_that_has_no_outcomes_yet_has_its_mark_on_the_drawing(evidence: Evidence) -> None:
    new = replace(evidence, figures=monitored.figures(9, 1, retrained=8))  # its one window has no outcomes
    (drawing,) = re.findall(r'<div class="narrow">(<svg.*?</svg>)</div>', page(new).partition("AUC</figcaption>")[2])[
        :1
    ]
    width = float(re.findall(r'viewBox="0 0 (\d+)', drawing)[0])
    marks = [float(x) for x in re.findall(r'<line x1="([\d.]+)"[^>]*class="event"', drawing)]
    assert len(marks) == 2
    assert max(marks) < width - 20


def test_a_version_is_marked_where_it_began_to_answer_and_not_where_it_was_in_shadow(evidence: Evidence) -> None:
    shadow = Figure(Subject.SHADOW, "decisions_differ", 0.1, 99, monitored.FIRST, "2")
    (first, second) = promotion_events(replace(evidence, figures=[*evidence.figures, shadow]))
    assert (first.at, second.at) == (monitored.months(1)[0], monitored.months(9)[-1])


def test_a_version_that_came_back_is_marked_where_it_answers_again(evidence: Evidence) -> None:
    back = replace(evidence.promotions[0], event=Event.ROLLED_BACK, version="1", at=monitored.months(11)[-1])
    again = [replace(each, version="1") if each.as_of > back.at else each for each in evidence.figures]
    marks = promotion_events(replace(evidence, promotions=[*evidence.promotions, back], figures=again))
    assert [(each.label, each.at) for each in marks][-1] == ("v1", monitored.months(12)[-1])

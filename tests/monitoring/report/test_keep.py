"""The pages in ASOF_HOME: that of now, and those of runs that found something."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from asof.ledger.request_id import new_request_id
from asof.settings import Settings
from asof.use_cases import load
from flows.stages.monitoring.report import publish_page, write_report
from monitoring.report import keep
from tests.kits.ledger import monitored
from tests.kits.machine.databases import fresh

CHURN = load("churn")


@pytest.fixture
def own(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with fresh(server, tmp_path_factory.mktemp("home")) as settings:
        monitored.plant(settings, CHURN.name, monitored.figures(3, 2))
        yield settings


def test_the_page_of_a_run_that_found_something_is_kept_and_that_of_now_follows(own: Settings) -> None:
    first, second = UUID(new_request_id()), UUID(new_request_id())
    kept = keep.page_of_run(own, CHURN, first)
    assert publish_page(own, CHURN, first, new=True) == str(kept)
    before = kept.read_text()
    monitored.plant(own, CHURN.name, monitored.figures(7, 2))
    assert publish_page(own, CHURN, second, new=False) == str(keep.page_of_now(own, CHURN))
    assert keep.page_of_now(own, CHURN).read_text() != before == kept.read_text()
    assert not keep.page_of_run(own, CHURN, second).exists()


def test_the_oldest_pages_go_first(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "KEPT", 2)
    runs = [UUID(f"0190000{number}-0000-7000-8000-000000000000") for number in (1, 2, 3)]
    for run in runs:
        publish_page(own, CHURN, run, new=True)
    assert [each.exists() for each in (keep.page_of_run(own, CHURN, run) for run in runs)] == [False, True, True]


def test_what_the_page_says_at_the_top_is_the_result_of_the_command(own: Settings) -> None:
    done = write_report(own, CHURN, own.home / "here" / "page.html")
    assert (done["version"], done["state"], done["sentence"]) == ("1", "right", "Version 1 is still right.")
    assert str(done["sentence"]) in (own.home / "here" / "page.html").read_text()

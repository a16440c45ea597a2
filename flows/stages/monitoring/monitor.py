"""The stage `monitor`: ledger, labels and outcomes -> figures -> alerts -> perhaps a retraining."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asof.errors import AsOfError
from asof.ledger.request_id import new_request_id
from asof.settings import Moment, Settings
from asof.use_case import UseCase
from asof.use_cases import default_name, load
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_tracking
from flows.runtime.progress import log
from flows.runtime.steps import step
from flows.stages.monitoring.alerts import announce, outcome_of, pass_on
from flows.stages.monitoring.report import publish_page
from flows.stages.retrain import retrain as retrain_stage
from monitoring.alerts.alert import Alert, alert_as_json
from monitoring.alerts.handling import may_retrain
from monitoring.alerts.rows import alerts_of
from monitoring.alerts.save import SavedRun, one_at_a_time, save
from monitoring.measuring.measure import Measured, Wanted, measure
from monitoring.measuring.windows import states_of
from monitoring.records.runs import MonitorRun, last_run, latest_figures
from training.data.snapshots.provenance import actor, code_version

KIND = "monitor"


@step("measure")
def measure_and_save(
    use_case: str, as_of: datetime | None, known_at: datetime | None, whole: bool
) -> tuple[Measured, SavedRun | None]:
    """Computes what is new, and saves it with the alerts that it opens and closes.

    What was known before the last run is computed and not saved: it would take the place of newer figures.
    """
    settings, problem = settings_with_tracking(), load(use_case)
    with one_at_a_time(settings, problem, log.info):
        started, last = datetime.now(UTC), last_run(settings, use_case, KIND)
        wanted = Wanted(states_of(last.detail) if last else {}, whole, as_of)
        measured = measure(settings, problem, wanted, known_at, log.info)
        if last and measured.known_at < last.known_at:
            return measured, None
        log.info("saving %d figures", len(measured.figures))
        return measured, save(settings, problem, _run(settings, problem, started, measured), measured.figures)


def monitor(
    use_case: str | None = None,
    as_of: Moment | None = None,
    known_at: Moment | None = None,
    whole: bool = False,
    retrain: bool = False,
) -> dict[str, Any]:
    """Computes the figures of what is new since the last run (`whole`: of everything), opens and closes alerts.

    An alert that asks for it is retrained here (`retrain`), or by the deployment `retrain` of a Prefect server. The
    result has the newest figures of the version in Production, the open alerts, and what is done about them.
    """
    use_case = use_case or default_name()
    measured, saved = measure_and_save(use_case, as_of, known_at, whole)
    settings, problem = settings_with_tracking(), load(use_case)
    retraining = _retrained(settings, problem, saved, here=retrain) if saved else []
    changed = bool(saved and (measured.windows or saved.opened or saved.closed))
    page = publish_page(settings, problem, saved.run, new=changed) if saved else None
    result = {
        "use_case": use_case,
        "page": page,
        "known_at": measured.known_at,
        "saved": saved is not None,
        "windows": [*measured.windows],
        "archived": [*measured.archived],
        "answers": measured.answers,
        **_state(settings, problem, measured, saved),
        "retraining": retraining,
    }
    publish_table("alerts", result["alerts"], f"Open alerts of {use_case}")
    return result


def _state(settings: Settings, use_case: UseCase, measured: Measured, saved: SavedRun | None) -> dict[str, Any]:
    """Figures and alerts as they are now; of what is not saved the figures alone."""
    if saved is None:
        return {"version": None, "figures": [*map(asdict, measured.figures)], "alerts": [], "closed": []}
    figures = latest_figures(settings, use_case.name)
    live = saved.live or max((each.version for each in figures), default=None)
    alerts = alerts_of(settings, use_case.name)
    return {
        "version": live,
        "figures": [asdict(each) for each in figures if each.version == live],
        "alerts": [alert_as_json(each) for each in alerts if not each.closed],
        "closed": [alert_as_json(each) for each in alerts if each.closed and each.alert in _open_before(saved)],
    }


def _open_before(saved: SavedRun) -> set[UUID]:
    """The alerts that were open when the run began, or that it opened."""
    return {*saved.closed, *(each.alert for each in saved.alerts if not each.closed)}


def _run(settings: Settings, use_case: UseCase, started: datetime, measured: Measured) -> MonitorRun:
    windows = measured.windows
    return MonitorRun(
        run=UUID(new_request_id()),
        use_case=use_case.name,
        kind=KIND,
        started_at=started,
        known_at=measured.known_at,
        first=windows[0] if windows else None,
        last=windows[-1] if windows else None,
        answers=measured.answers,
        actor=actor(settings),
        code_version=str(code_version()),
        detail={"windows": measured.states},
    )


def _retrained(settings: Settings, use_case: UseCase, saved: SavedRun, *, here: bool) -> list[dict[str, Any]]:
    """What is done about each open alert that asks for a retraining: where it cannot be done now, why not.

    Prefect is told of every alert that is new.
    """
    done = []
    for alert in (each for each in saved.alerts if not each.closed):
        decision, is_new = may_retrain(settings, use_case, alert, now=saved.now), alert.alert in saved.opened
        result = None
        if decision.possible and not here:
            text = pass_on(settings, use_case, alert, is_new=is_new)
        else:
            text = (is_new and announce(settings, alert, retrain=False)) or decision.reason
        if decision.possible and here:
            text, result = _retrained_here(use_case, alert)
        if alert.retrains:
            done.append({"alert": str(alert.alert), "outcome": text, "result": result})
    return done


def _retrained_here(use_case: UseCase, alert: Alert) -> tuple[str, dict[str, Any] | None]:
    try:
        result = retrain_stage(use_case.name, alert=alert.alert)
    except AsOfError as error:
        return f"The retraining failed: {error}", None
    if not result["handled"]:
        return result["reason"], None
    came = outcome_of(result)
    text = "was promoted" if came["promoted"] else f"was not promoted: {' '.join(came['reasons'])}"
    return f"Version {came['version']} was trained as of {came['as_of'][:10]}, and {text}", came

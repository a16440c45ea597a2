"""The main job from nothing to answers over HTTP, told as it goes: `make demo`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from textwrap import shorten
from time import perf_counter
from typing import Any

import httpx
from rich.console import Console

from asof.errors import ConfigurationError
from asof.settings import Settings
from asof.use_case import FromStore, Question, UseCase
from asof.use_cases import load
from flows.runtime.door import open_tracked_settings
from flows.runtime.progress import shown
from local.stack.serve import serving
from training.data.extracts.deliveries import find_deliveries


@dataclass(frozen=True)
class Extracts:
    """What the demo works on; `clock` is the moment that the service takes for now (None: the real one)."""

    folder: Path
    first: date | None
    backfill: bool
    clock: datetime | None


@dataclass(frozen=True)
class Account:
    """Prints each stage with its seconds."""

    console: Console

    @contextmanager
    def stage(self, title: str) -> Iterator[Callable[[str], None]]:
        """Runs a stage; what it says is printed below its title and seconds when it ends."""
        lines: list[str] = []
        begun = perf_counter()
        with self.console.status(f"{title} ...") as status, shown(status, title):
            yield lines.append
        self.console.print(f"[bold green]{title}[/]  [dim]{perf_counter() - begun:.1f} s[/]")
        for line in lines:
            self.console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def demo(console: Console, use_case: str, given: Extracts | None, *, users: int, months: int) -> bool:
    """From data to answers over HTTP; whether each answer keeps the contract.

    Raises ConfigurationError where extracts are given to a use case that has none, or are needed and not given.
    """
    account, problem, begun = Account(console), load(use_case), perf_counter()
    if given is None:
        _check_simulated(problem)
    with account.stage("PostgreSQL") as say:
        settings = open_tracked_settings()
        say(settings.database().render_as_string())
    extracts = None
    if given or isinstance(problem.source, FromStore):
        extracts = _ingest(account, problem, given or _simulated(account, settings, users, months))
    bento = _train_and_bundle(account, problem)
    kept = _questions(account, settings, problem, extracts, bento)
    following = f"make up ARGS={use_case}"
    console.print(f"\n[bold]{perf_counter() - begun:.0f} s[/] in all.  Next: [bold]{following}[/].")
    return kept


def given_extracts(folder: Path, first: date | None) -> Extracts:
    """The user's own extracts, as of `first` and the month ends after it; the service's clock stands at the newest."""
    newest = max(each.as_of for each in find_deliveries(folder, first=first))
    return Extracts(folder, first, backfill=False, clock=newest)


def _check_simulated(problem: UseCase) -> None:
    """Raises ConfigurationError, saying what is needed, where the simulator does not know the use case's tables."""
    from simulator import EXTRACT

    if not isinstance(problem.source, FromStore) or problem.source.extract is EXTRACT:
        return
    extract = problem.source.extract
    tables = ", ".join(f"{table.name}.csv" for table in (*extract.tables, extract.labels))
    raise ConfigurationError(
        f"Nothing simulates extracts of {problem.name}: give yours, make demo USE_CASE={problem.name} DATA=folder "
        f"AS_OF=2024-01-31. The folder holds month_000, month_001, ... of {tables}."
    )


def _simulated(account: Account, settings: Settings, users: int, months: int) -> Extracts:
    from simulator import SimulationPlan, month_end_before, simulate

    with account.stage("Simulated extracts") as say:
        plan = SimulationPlan(month_end_before(datetime.now(UTC).date()), users=users, months=months)
        folder = settings.home / "extracts" / f"{users}-users-{months}-months-until-{plan.last_as_of}"
        simulate(plan, folder)
        say(f"{folder}, the first as of {plan.as_of(0)}")
    return Extracts(folder, plan.as_of(0), backfill=True, clock=None)


def _ingest(account: Account, problem: UseCase, extracts: Extracts) -> Extracts:
    from flows.ingest_flow import ingest

    with account.stage("Snapshots and online store") as say:
        result = ingest(str(extracts.folder), extracts.first, extracts.backfill, use_case=problem.name)
        for delivery in result["deliveries"]:
            rows, new = sum(delivery["rows"].values()), sum(delivery["new_rows"].values())
            say(f"{delivery['folder']:16} as of {delivery['as_of']:%Y-%m-%d}  {rows:>9,} rows, {new:,} new")
        for view in result["online"]["refreshes"]:
            say(f"{view['view']:35} {view['entities']:>9,} entities, {view['seconds']:.1f} s")
        say(f"{result['parity']['summary']}. {result['parity']['next']}")
    return extracts


def _train_and_bundle(account: Account, problem: UseCase) -> str:
    from flows.bundle_flow import bundle
    from flows.retrain_flow import retrain

    with account.stage("Training, evaluation and promotion") as say:
        _tell_version(say, retrain(problem.name))
    with account.stage("Bundle") as say:
        built: dict[str, Any] = bundle(problem.name)
        say(f"bento {built['bento_tag']}, model {built['model_tag']}")
    return str(built["bento_tag"])


def _tell_version(say: Callable[[str], None], result: dict[str, Any]) -> None:
    version, outcome = result["version"], result["promotion"]
    for finding in result["inspection"]:
        if finding["severity"] != "info":
            say(f"{finding['severity']}: {finding['finding']}{', acknowledged' if finding['acknowledged'] else ''}")
    metrics = version["metrics"]
    say(f"{version['name']} version {version['version']}, run {version['run_id']}")
    say(f"features and labels as of {version['facts']['as_of']}, training set {version['facts']['fingerprint'][:16]}")
    for name in ("auc", "average_precision", "log_loss", "brier", "calibration_error"):
        say(f"{name:20} {metrics[name]:.4f}")
    say("promoted to Production" if outcome["promoted"] else f"not promoted; version {outcome['previous']} stays")
    for criterion in outcome["criteria"]:
        say(f"{'passed' if criterion['passed'] else 'failed'}: {criterion['name']}: {criterion['reason']}")


def _questions(account: Account, settings: Settings, problem: UseCase, extracts: Extracts | None, bento: str) -> bool:
    clock = extracts.clock if extracts else None
    with account.stage("Service") as say:
        open_here = {"clock": clock, "api_keys": None, "rate_per_key": None, "host": "127.0.0.1"}
        clocked = settings.model_copy(update=open_here)
        with serving(clocked, bento) as address, httpx.Client(base_url=address, timeout=10) as client:
            say(f"{address} serves {bento}" + (f", its clock at {clock}" if clock else ""))
            questions = problem.questions(_newest_month(extracts, problem) if extracts else None)
            answers = [(question, _ask(client, question)) for question in questions]
            for question, answer in answers:
                _tell_answer(say, question, answer)
    return all(question.is_answered_by(answer.status_code, answer.json()) for question, answer in answers)


def _newest_month(extracts: Extracts, problem: UseCase) -> Path:
    deliveries = find_deliveries(extracts.folder, first=extracts.first)
    return [each.folder for each in deliveries if (each.folder / f"{problem.extract.entity_table}.csv").exists()][-1]


def _ask(client: httpx.Client, question: Question) -> httpx.Response:
    return client.post("/predict", content=question.body, headers={"Content-Type": "application/json"})


def _tell_answer(say: Callable[[str], None], question: Question, answer: httpx.Response) -> None:
    kept = question.is_answered_by(answer.status_code, answer.json())
    say("")
    say(f"{question.title}: POST /predict {shorten(question.body, 200, placeholder=' ...')}")
    verdict = (
        "as the contract says" if kept else f"but the contract says {question.status} with {dict(question.members)}"
    )
    say(f"HTTP {answer.status_code}, {verdict}")
    say(json.dumps(answer.json(), indent=2))

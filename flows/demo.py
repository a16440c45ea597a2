"""The main job from nothing to answers over HTTP, told as it goes: `make demo`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
from rich.console import Console

from asof.settings import Settings
from asof.use_case import Question, UseCase
from asof.use_cases import load
from flows.door import open_settings
from flows.progress import shown
from local.serve import serving
from training.deliveries import find_deliveries


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
    """Extracts, snapshots, features, training, promotion, Bento, answers; whether each answer keeps the contract."""
    account, problem, begun = Account(console), load(use_case), perf_counter()
    with account.stage("PostgreSQL") as say:
        settings = open_settings()
        say(settings.database().render_as_string())
    with account.stage("Extracts") as say:
        extracts = given or _simulated(settings, users, months)
        say(f"{extracts.folder}, the first as of {extracts.first}")
    bento = _offline(account, problem, extracts)
    kept = _questions(account, settings, problem, extracts, bento)
    console.print(f"\n[bold]{perf_counter() - begun:.0f} s[/] in all.  Next: [bold]make serve[/], or [bold]make up[/].")
    return kept


def given_extracts(folder: Path, first: date | None) -> Extracts:
    """The user's own extracts, as of `first` and the month ends after it; the service's clock stands at the newest."""
    newest = max(each.as_of for each in find_deliveries(folder, first=first))
    return Extracts(folder, first, backfill=False, clock=newest)


def _simulated(settings: Settings, users: int, months: int) -> Extracts:
    from simulator import SimulationPlan, month_end_before, simulate

    plan = SimulationPlan(month_end_before(datetime.now(UTC).date()), users=users, months=months)
    folder = settings.home / "extracts" / f"{users}-users-{months}-months-until-{plan.last_as_of}"
    simulate(plan, folder)
    return Extracts(folder, plan.as_of(0), backfill=True, clock=None)


def _offline(account: Account, problem: UseCase, extracts: Extracts) -> str:
    from flows.bundle_flow import bundle
    from flows.ingest_flow import ingest
    from flows.retrain_flow import retrain

    with account.stage("Snapshots and online store") as say:
        result = ingest(str(extracts.folder), extracts.first, extracts.backfill, use_case=problem.name)
        for delivery in result["deliveries"]:
            rows, new = sum(delivery["rows"].values()), sum(delivery["new_rows"].values())
            say(f"{delivery['folder']:16} as of {delivery['as_of']:%Y-%m-%d}  {rows:>9,} rows, {new:,} new")
        for view in result["online"]["refreshes"]:
            say(f"{view['view']:35} {view['entities']:>9,} entities, {view['seconds']:.1f} s")
    with account.stage("Training, evaluation and promotion") as say:
        result = retrain(problem.name)
        _tell_version(say, result)
    with account.stage("Bundle") as say:
        built: dict[str, Any] = bundle(problem.name)
        say(f"bento {built['bento_tag']}, model {built['model_tag']}")
    return str(built["bento_tag"])


def _tell_version(say: Callable[[str], None], result: dict[str, Any]) -> None:
    version, outcome = result["version"], result["promotion"]
    metrics = version["metrics"]
    say(f"{version['name']} version {version['version']}, run {version['run_id']}")
    say(f"features and labels as of {version['facts']['as_of']}, training set {version['facts']['fingerprint'][:16]}")
    for name in ("auc", "average_precision", "log_loss", "brier", "calibration_error"):
        say(f"{name:20} {metrics[name]:.4f}")
    say("promoted to Production" if outcome["promoted"] else f"not promoted; version {outcome['previous']} stays")
    for criterion in outcome["criteria"]:
        say(f"{'passed' if criterion['passed'] else 'failed'}: {criterion['name']}: {criterion['reason']}")


def _questions(account: Account, settings: Settings, problem: UseCase, extracts: Extracts, bento: str) -> bool:
    newest = max(
        find_deliveries(extracts.folder, first=extracts.first), key=lambda each: (each.as_of, each.folder.name)
    )
    month = newest.folder
    with account.stage("Service") as say:
        clocked = settings.model_copy(update={"clock": extracts.clock})
        with serving(clocked, bento) as address, httpx.Client(base_url=address, timeout=10) as client:
            say(f"{address} serves {bento}" + (f", its clock at {extracts.clock}" if extracts.clock else ""))
            answers = [(question, _ask(client, question)) for question in problem.questions(month)]
            for question, answer in answers:
                _tell_answer(say, question, answer)
    return all(question.is_answered_by(answer.status_code, answer.json()) for question, answer in answers)


def _ask(client: httpx.Client, question: Question) -> httpx.Response:
    return client.post("/predict", content=question.body, headers={"Content-Type": "application/json"})


def _tell_answer(say: Callable[[str], None], question: Question, answer: httpx.Response) -> None:
    kept = question.is_answered_by(answer.status_code, answer.json())
    say("")
    say(f"{question.title}: POST /predict {question.body}")
    verdict = "as the contract says" if kept else f"but the contract says {question.status} with {dict(question.holds)}"
    say(f"HTTP {answer.status_code}, {verdict}")
    say(json.dumps(answer.json(), indent=2))

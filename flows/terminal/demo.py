"""From extracts to answers over HTTP, printing each stage: `make demo`."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from textwrap import shorten
from time import perf_counter
from typing import Any

import httpx
from rich.console import Console
from rich.status import Status

from asof.errors import ConfigurationError
from asof.extracts.cadence import moment_of, moment_text
from asof.settings import Settings
from asof.use_case import FromStore, Question, UseCase
from asof.use_cases import load
from flows.runtime.environment import settings_with_tracking
from flows.runtime.progress import hide_progress, show_progress
from flows.terminal.runs import StageProcess, choose_run
from local.stack.serve import serving
from training.data.extracts.deliveries import find_deliveries
from training.data.extracts.files.data_files import delivered_tables

MLFLOW = ("mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store")
TRAINING_LIBRARIES = (
    *MLFLOW,
    *("mlflow.sklearn", "onnx", "onnxruntime", "sklearn.ensemble"),
    "asof.trust.trusted_types:import_skops",
    *("matplotlib.backends.backend_agg", "training.release.gate.judge"),
)
BUNDLING_LIBRARIES = (*MLFLOW, "bentoml.mlflow")
"""What a stage would import after it has been asked, or a function that does; its process does so while it waits."""


@dataclass(frozen=True)
class Extracts:
    """Input of the demo; `clock` is the service's current time (None: the real one).

    Without a `folder` the use case's tables are queried, as of `first` (None: now).
    """

    folder: Path | None
    first: date | None
    backfill: bool
    clock: datetime | None


@dataclass(frozen=True)
class Stages:
    """Prints each stage with its duration."""

    console: Console

    @contextmanager
    def run(self, title: str) -> Iterator[Callable[[str], None]]:
        """Runs a block as a stage; the lines that it echoes are printed below its title when it ends."""
        lines: list[str] = []
        begun = perf_counter()
        with self.console.status(f"{title} ...") as status, self._progress(status, title):
            yield lines.append
        self.console.print(f"[bold green]{title}[/]  [dim]{perf_counter() - begun:.1f} s[/]")
        for line in lines:
            self.console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)

    def _progress(self, status: Status, title: str) -> AbstractContextManager[None]:
        return hide_progress() if self.console.quiet else show_progress(status, title)


def demo(console: Console, use_case: str, extracts: Extracts | None, *, users: int, months: int) -> dict[str, Any]:
    """Runs all stages; `passed` of the result says whether every answer is as expected.

    Raises ConfigurationError if the use case takes no extracts, or needs extracts that cannot be simulated.
    """
    stages, problem, begun = Stages(console), load(use_case), perf_counter()
    if extracts is None or extracts.folder is None:
        extracts = _queried(problem, extracts)
    with stages.run("PostgreSQL") as echo:
        settings = settings_with_tracking()
        choose_run()  # says whether the stages are recorded in Prefect
        echo(settings.database().render_as_string())
    with StageProcess("retrain", *TRAINING_LIBRARIES) as training:
        if extracts or isinstance(problem.source, FromStore):
            extracts = _ingest(stages, settings, problem, extracts, users, months)
        bento = _train_and_bundle(stages, problem, training)
    passed = _ask_questions(stages, settings, problem, extracts, bento)
    console.print()
    seconds = round(perf_counter() - begun, 1)
    return {"passed": passed, "seconds": seconds, "bento": bento, "next": f"make up ARGS={use_case}"}


def user_extracts(folder: Path | None, first: date | None) -> Extracts | None:
    """The user's extracts; `first` is the `as_of` of month_000. The service's clock is set to the newest month.

    None where neither is given. Without a folder the clock is `first`.
    """
    if folder is None:
        return Extracts(None, first, backfill=False, clock=moment_of(first)) if first else None
    newest = max(each.as_of for each in find_deliveries(folder, first=first) if each.as_of)
    return Extracts(folder, first, backfill=False, clock=newest)


def _queried(problem: UseCase, extracts: Extracts | None) -> Extracts | None:
    """Those of a use case whose tables are queried; None where they come in the request or can be simulated.

    Raises ConfigurationError where it takes files that the simulator does not know.
    """
    from simulator import EXTRACT

    if not isinstance(problem.source, FromStore) or problem.source.extract is EXTRACT:
        return None
    if not problem.extract.takes_files:
        return extracts or Extracts(None, None, backfill=False, clock=None)
    files = ", ".join(problem.source.extract.file_names)
    raise ConfigurationError(
        f"There is no simulator for {problem.name}. Use your own extracts: make demo USE_CASE={problem.name} "
        f"DATA=folder AS_OF=2024-01-31. The folder holds month_000, month_001, ... of {files}."
    )


def _ingest(
    stages: Stages, settings: Settings, problem: UseCase, extracts: Extracts | None, users: int, months: int
) -> Extracts:
    with StageProcess("ingest") as loading:
        extracts = extracts or _simulate(stages, settings, users, months)
        where = (str(extracts.folder) if extracts.folder else None, extracts.first, extracts.backfill)
        with stages.run("Snapshots and online store") as echo:
            _print_loads(echo, loading.run(*where, use_case=problem.name))
    return extracts


def _simulate(stages: Stages, settings: Settings, users: int, months: int) -> Extracts:
    from simulator import SimulationPlan, month_end_before, simulate

    with stages.run("Simulated extracts") as echo:
        plan = SimulationPlan(month_end_before(datetime.now(UTC).date()), users=users, months=months)
        folder = settings.home / "extracts" / f"{users}-users-{months}-months-until-{plan.last_as_of}"
        simulate(plan, folder)
        echo(f"{folder}, the first as of {plan.as_of(0)}")
    return Extracts(folder, plan.as_of(0), backfill=True, clock=None)


def _print_loads(echo: Callable[[str], None], result: dict[str, Any]) -> None:
    for delivery in result["deliveries"]:
        rows, new = sum(delivery["rows"].values()), sum(delivery["new_rows"].values())
        echo(f"{delivery['folder']:16} as of {moment_text(delivery['as_of'])}  {rows:>9,} rows, {new:,} new")
    for view in result["online"]["refreshes"]:
        echo(f"{view['view']:35} {view['entities']:>9,} entities, {view['seconds']:.1f} s")
    echo(f"{result['parity']['summary']}. {result['parity']['next']}")


def _train_and_bundle(stages: Stages, problem: UseCase, training: StageProcess) -> str:
    with StageProcess("bundle", *BUNDLING_LIBRARIES) as bundling:
        with stages.run("Training, evaluation and promotion") as echo:
            _print_version(echo, training.run(problem.name))
        with stages.run("Bundle") as echo:
            built = bundling.run(problem.name)
            echo(f"bento {built['bento_tag']}, model {built['model_tag']}")
    return str(built["bento_tag"])


METRICS = (
    *("auc", "average_precision", "log_loss", "brier", "calibration_error"),
    *("accuracy", "mae", "rmse", "r2", "coverage"),
)
"""Those that are printed of a version, if its target has them."""


def _print_version(echo: Callable[[str], None], result: dict[str, Any]) -> None:
    version, outcome = result["version"], result["promotion"]
    for finding in result["inspection"]:
        if finding["severity"] != "info":
            echo(f"{finding['severity']}: {finding['finding']}{', acknowledged' if finding['acknowledged'] else ''}")
    metrics = version["metrics"]
    echo(f"{version['name']} version {version['version']}, run {version['run_id']}")
    echo(f"features and labels as of {version['facts']['as_of']}, training set {version['facts']['fingerprint'][:16]}")
    for name in (name for name in METRICS if name in metrics):
        echo(f"{name:20} {metrics[name]:.4f}")
    echo("promoted to Production" if outcome["promoted"] else f"not promoted; version {outcome['previous']} stays")
    for criterion in outcome["criteria"]:
        echo(f"{'passed' if criterion['passed'] else 'failed'}: {criterion['name']}: {criterion['reason']}")


def _ask_questions(stages: Stages, settings: Settings, problem: UseCase, extracts: Extracts | None, bento: str) -> bool:
    clock = extracts.clock if extracts else None
    with stages.run("Service") as echo:
        local_only = {"clock": clock, "api_keys": None, "rate_per_key": None, "host": "127.0.0.1"}
        clocked = settings.model_copy(update=local_only)
        with serving(clocked, bento) as address, httpx.Client(base_url=address, timeout=10) as client:
            echo(f"{address} serves {bento}" + (f", its clock at {clock}" if clock else ""))
            questions = problem.questions(_newest_month(extracts, problem))
            answers = [(question, _ask(client, question)) for question in questions]
            for question, answer in answers:
                _print_answer(echo, question, answer)
    return all(question.is_answered_by(answer.status_code, answer.json()) for question, answer in answers)


def _newest_month(extracts: Extracts | None, problem: UseCase) -> Path | None:
    """The newest folder with entities; None where there is no folder."""
    if extracts is None or extracts.folder is None:
        return None
    deliveries = find_deliveries(extracts.folder, first=extracts.first)
    folders = [each.folder for each in deliveries if each.folder]
    (entities,) = (table for table in problem.extract.tables if table.name == problem.extract.entity_table)
    return [each for each in folders if entities.stem in delivered_tables(each)][-1]


def _ask(client: httpx.Client, question: Question) -> httpx.Response:
    return client.post("/predict", content=question.body, headers={"Content-Type": "application/json"})


def _print_answer(echo: Callable[[str], None], question: Question, answer: httpx.Response) -> None:
    passed = question.is_answered_by(answer.status_code, answer.json())
    echo("")
    echo(f"{question.title}: POST /predict {shorten(question.body, 200, placeholder=' ...')}")
    verdict = (
        "as the contract says" if passed else f"but the contract says {question.status} with {dict(question.members)}"
    )
    echo(f"HTTP {answer.status_code}, {verdict}")
    echo(json.dumps(answer.json(), indent=2))

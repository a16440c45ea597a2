"""Commands on models: train, promote, roll back, score and trace."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.runtime.environment import settings_with_database, settings_with_tracking
from flows.terminal.command import UseCaseCommand
from flows.terminal.options import AnyUseCase, AsOf, Engine, Json, KnownAt, StoreUseCase
from flows.terminal.output import run_command
from flows.terminal.runs import choose_run
from flows.terminal.screens.models import (
    acceptance_screen,
    bom_screen,
    history_screen,
    promotion_screen,
    reproduction_screen,
    retrain_screen,
    rollback_screen,
    scoring_screen,
)

commands = typer.Typer()

COMPLETED_BY_THE_NEXT = "A change of Production that was begun is completed by the next promotion or rollback."


@commands.command(cls=UseCaseCommand)
def retrain(
    use_case: AnyUseCase,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    estimator: Annotated[str | None, typer.Option(help="An estimator of the use case; default: `default`.")] = None,
    promotion: Annotated[bool, typer.Option("--promote/--no-promote", help="Promote it if it passes the gate.")] = True,
    engine: Engine = None,
    sample: Annotated[str | None, typer.Option(help="Share of the entities to train on, as 5%; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Build a training set, train, evaluate, register, and promote if the version passes the gate."""
    kept = f"A run that was begun is marked as failed in MLflow. {COMPLETED_BY_THE_NEXT}"
    with run_command("training", as_json=as_json, kept=kept) as emit:
        settings_with_tracking()
        from flows.stages.retrain import retrain as stage

        result = choose_run()(stage, use_case, as_of, known_at, estimator, promotion, None, engine, sample)
        emit(result, retrain_screen)


@commands.command(cls=UseCaseCommand)
def promote(
    use_case: AnyUseCase,
    version: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Evaluate the criteria and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Promote a registered version if it passes the gate. Exit code 1 if it does not."""
    with run_command("comparing", as_json=as_json, kept=COMPLETED_BY_THE_NEXT) as emit:
        settings_with_tracking()
        from flows.stages.promote import promote as stage

        outcome = choose_run()(stage, use_case, version, dry_run)
        emit(outcome, promotion_screen)
    passed = outcome["promoted"] or all(each["passed"] for each in outcome["criteria"])
    raise typer.Exit(0 if passed else 1)


@commands.command(cls=UseCaseCommand)
def reproduce(use_case: AnyUseCase, version: str, as_json: Json = False) -> None:
    """Rebuild a version from the database as known then, and compare. Exit code 0 only if it is the same."""
    with run_command("reproducing", as_json=as_json) as emit:
        settings_with_tracking()
        from flows.stages.reproduce import reproduce as stage

        result = choose_run()(stage, use_case, version)
        emit(result, reproduction_screen)
    raise typer.Exit(0 if result["agrees"] else 1)


@commands.command(cls=UseCaseCommand)
def score(
    use_case: StoreUseCase,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    version: Annotated[str | None, typer.Option(help="A registered version; default: the one in Production.")] = None,
    to: Annotated[
        str, typer.Option(metavar="postgres|FOLDER", help="The table `scores`, or a folder of Parquet files.")
    ] = "postgres",
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Score every user as of a moment. After an interruption, the same command continues."""
    with run_command(
        "scoring", as_json=as_json, kept="Scored users are kept; the same command scores the others."
    ) as emit:
        settings_with_tracking()
        from flows.stages.score import score as stage

        target = to if to == "postgres" else str(Path(to).resolve())
        done = choose_run()(stage, use_case, as_of, known_at, version, target, engine)
        emit(done, scoring_screen)


@commands.command(cls=UseCaseCommand)
def trace(
    use_case: AnyUseCase,
    what: Annotated[
        str,
        typer.Argument(
            metavar="VERSION|REQUEST_ID|FILE|-", help="A version, a request id, or a saved answer (-: stdin)."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Trace an answer or a version to its source files. Exit code 1 if a link of the chain is broken."""
    with run_command("tracing", as_json=as_json) as emit:
        from asof.use_cases import load
        from flows.terminal.trace import print_chain
        from flows.terminal.trace import trace as stage

        result = stage(settings_with_tracking(), load(use_case), what)
        if as_json:
            emit(result)
    if not as_json:
        print_chain(result)
    raise typer.Exit(1 if result.broken else 0)


@commands.command(cls=UseCaseCommand)
def bom(
    use_case: AnyUseCase,
    version: Annotated[str | None, typer.Option(help="A registered version; default: the one in Production.")] = None,
    to: Annotated[Path | None, typer.Option(help="The file; default: dist/NAME-vVERSION.cdx.json.")] = None,
    as_json: Json = False,
) -> None:
    """Write a version's bill of materials (CycloneDX): its card, and the digests of the data behind it."""
    with run_command("reading", as_json=as_json) as emit:
        from flows.stages.bom import write_bom

        emit(write_bom(settings_with_tracking(), use_case, version, to=to), bom_screen)


@commands.command(cls=UseCaseCommand)
def rollback(
    use_case: AnyUseCase,
    to: Annotated[str | None, typer.Option(help="The version; default: the previous one.")] = None,
    reason: Annotated[str, typer.Option(help="Recorded in the history.")] = "rolled back by hand",
    as_json: Json = False,
) -> None:
    """Promote the previous version again; services that follow the registry switch to it."""
    with run_command("rolling back", as_json=as_json, kept=COMPLETED_BY_THE_NEXT) as emit:
        from asof.use_cases import load
        from training.release.promotion.promote import rollback as stage

        done = stage(settings_with_database(), load(use_case), to=to, reason=reason)
        emit(asdict(done) | {"next": "services that follow the registry switch within seconds."}, rollback_screen)


@commands.command("accept-definition", cls=UseCaseCommand)
def accept_definition(
    use_case: StoreUseCase,
    view: Annotated[
        str, typer.Argument(help="The feature view whose definition changed without changing its meaning.")
    ],
    reason: Annotated[str, typer.Option(help="The reason, which is recorded.")],
    as_json: Json = False,
) -> None:
    """Accept a view's current definition as equivalent to the one that the version in Production was trained on."""
    with run_command("accepting", as_json=as_json) as emit:
        from asof.use_cases import load
        from training.release.promotion.acceptance import accept_definition as stage

        problem = load(use_case)
        result = stage(settings_with_tracking(), problem, view, reason=reason)
        emit({"accepted": [asdict(each) for each in result]}, acceptance_screen)


@commands.command(cls=UseCaseCommand)
def history(use_case: AnyUseCase, as_json: Json = False) -> None:
    """Show which versions were in Production, since when and why. Exit code 1 if the history was rewritten."""
    with run_command("reading", as_json=as_json) as emit:
        from asof.use_cases import load
        from training.release.promotion.history_report import report_history

        report = report_history(settings_with_database(), load(use_case))
        emit(report, history_screen)
    raise typer.Exit(0 if report.intact else 1)

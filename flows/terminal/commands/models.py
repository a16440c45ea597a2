"""Commands on models: train, promote, roll back, score and trace."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.runtime.door import open_settings, open_tracked_settings
from flows.terminal.for_people import without_figures
from flows.terminal.options import AsOf, DefaultUseCase, Json, KnownAt, UseCaseName, UseCaseOption
from flows.terminal.output import account, shortened

commands = typer.Typer()


@commands.command()
def retrain(
    use_case: DefaultUseCase,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    estimator: Annotated[str | None, typer.Option(help="One of the use case's estimators; default: `default`.")] = None,
    promotion: Annotated[bool, typer.Option("--promote/--no-promote", help="Promote it if it is better.")] = True,
    as_json: Json = False,
) -> None:
    """Build a training set as of a moment, train, evaluate, register, and promote if it is better."""
    with account("training", as_json=as_json) as say:
        open_tracked_settings()
        from flows.retrain_flow import retrain as flow

        result = flow(use_case, as_of, known_at, estimator, promotion)
        say(result if as_json else {**result, "promotion": without_figures(result["promotion"])})


@commands.command()
def promote(
    use_case: UseCaseName,
    version: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge it, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Promote one registered version, if it passes the gate. Exit code 1 if it does not."""
    with account("comparing", as_json=as_json) as say:
        open_tracked_settings()
        from flows.retrain_flow import promote as flow

        outcome = flow(use_case, version, dry_run)
        say(outcome if as_json else without_figures(outcome))
    passed = outcome["promoted"] or all(each["passed"] for each in outcome["criteria"])
    raise typer.Exit(0 if passed else 1)


@commands.command()
def reproduce(use_case: UseCaseName, version: str, as_json: Json = False) -> None:
    """Build and train a version again from the database as known then; exit code 0 only if it comes out the same."""
    with account("reproducing", as_json=as_json) as say:
        open_tracked_settings()
        from flows.reproduce_flow import reproduce as flow

        found = flow(use_case, version)
        say(found if as_json else shortened(found))
    raise typer.Exit(0 if found["agrees"] else 1)


@commands.command()
def score(
    use_case: DefaultUseCase,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    version: Annotated[str | None, typer.Option(help="Of the registry; default: the one in Production.")] = None,
    to: Annotated[str, typer.Option(metavar="postgres|FOLDER", help="The table `scores`, or Parquet.")] = "postgres",
    as_json: Json = False,
) -> None:
    """Score every user as of a moment; run again after a kill, it goes on where it was."""
    with account("scoring", as_json=as_json) as say:
        open_tracked_settings()
        from flows.score_flow import score as flow

        place = to if to == "postgres" else str(Path(to).resolve())
        done = flow(use_case, as_of, known_at, version, place)
        say(done if as_json else shortened(done))


@commands.command()
def trace(
    use_case: UseCaseName,
    what: Annotated[
        str, typer.Argument(metavar="VERSION|REQUEST_ID|FILE|-", help="A number, an id, or a saved answer (-: stdin).")
    ],
    as_json: Json = False,
) -> None:
    """Where an answer or a version comes from, down to the files; exit code 1 where a link of the chain is broken."""
    with account("tracing", as_json=as_json) as say:
        from asof.use_cases import load
        from flows.terminal.trace import follow, show

        found = follow(open_tracked_settings(), load(use_case), what)
        if as_json:
            say(found)
    if not as_json:
        show(found)
    raise typer.Exit(1 if found.broken else 0)


@commands.command()
def rollback(
    use_case: DefaultUseCase,
    to: Annotated[str | None, typer.Option(help="The version; default: the one before.")] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the version.")] = "rolled back by hand",
    as_json: Json = False,
) -> None:
    """Bring the version back that was in Production before; a service that follows the registry takes it over."""
    with account("rolling back", as_json=as_json) as say:
        from asof.use_cases import load
        from training.release.promotion.promote import rollback as stage

        done = stage(open_settings(), load(use_case), to=to, reason=reason)
        say(asdict(done) | {"next": "A service that follows the registry takes it over within seconds."})


@commands.command("accept-definition")
def accept_definition(
    view: Annotated[str, typer.Argument(help="The feature view that is defined otherwise, and means the same.")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    use_case: UseCaseOption,
    as_json: Json = False,
) -> None:
    """Accept how a view is defined now as what the version in Production was trained on; services go on with it."""
    with account("accepting", as_json=as_json) as say:
        from asof.use_cases import load
        from training.release.promotion.acceptance import accept_definition as stage

        problem = load(use_case)
        found = stage(open_tracked_settings(), problem, view, reason=reason)
        say({"accepted": [asdict(each) for each in found]})


@commands.command()
def history(use_case: DefaultUseCase, as_json: Json = False) -> None:
    """Who was in Production, since when and why; exit code 1 if anybody has rewritten it."""
    with account("reading", as_json=as_json) as say:
        from asof.use_cases import load
        from flows.terminal.for_people import history_for_people
        from training.release.promotion.history_report import report_history

        report = report_history(open_settings(), load(use_case))
        say(report if as_json else history_for_people(report))
    raise typer.Exit(0 if report.intact else 1)

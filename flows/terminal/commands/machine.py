"""Commands that start, set up and check the stack."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.terminal.command import AsOfCommand, UseCaseCommand
from flows.terminal.options import DemoUseCase, First, Json, UseCaseOrAll, UseCaseToServe, exit_with
from flows.terminal.output import Verbosity, run_command, verbosity
from flows.terminal.screens.machine import (
    databases_screen,
    demo_screen,
    findings_screen,
    servers_screen,
)

commands = typer.Typer()


@commands.command(cls=UseCaseCommand)
def demo(
    use_case: DemoUseCase,
    data: Annotated[
        Path | None, typer.Option(exists=True, help="Folder of your extracts; default: simulated ones.")
    ] = None,
    as_of: First = None,
    users: Annotated[int, typer.Option(min=400, help="Simulated users.")] = 7043,
    months: Annotated[int, typer.Option(min=2, help="Simulated months, up to the last month end.")] = 6,
    as_json: Json = False,
) -> None:
    """Run everything from extracts to answers over HTTP. Exit code 0 only if every answer is as expected."""
    result: dict[str, Any] = {}
    kept = "What was loaded, trained and promoted is kept; the same command goes on."
    with run_command("running the demo", as_json=as_json, spinner=False, kept=kept) as emit:
        from flows.terminal.demo import demo as run
        from flows.terminal.demo import user_extracts

        extracts = user_extracts(data, as_of.date() if as_of else None)
        console = Console(stderr=as_json, quiet=verbosity() is Verbosity.QUIET)
        result = run(console, use_case, extracts, users=users, months=months)
        emit(result, demo_screen)
    raise typer.Exit(0 if result["passed"] else 1)


@commands.command(cls=AsOfCommand)
def databases(
    close_others: Annotated[
        bool, typer.Option("--close-others", help="Also revoke CONNECT from PUBLIC on the server's other databases.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create or correct PostgreSQL's roles, databases and grants, and set the passwords."""
    with run_command("looking", as_json=as_json) as emit:
        from asof.settings import Settings
        from roles.provision import make_databases

        emit(make_databases(Settings(), close_others=close_others), databases_screen)


@commands.command(cls=UseCaseCommand)
def doctor(
    use_case: UseCaseOrAll,
    url: Annotated[
        str | None, typer.Option(help="The prediction service's address; default: that of `make up`.")
    ] = None,
    mlflow: Annotated[str | None, typer.Option(help="MLflow's address; default: MLFLOW_TRACKING_URI.")] = None,
    prefect: Annotated[str | None, typer.Option(help="Prefect's address; default: PREFECT_API_URL.")] = None,
    postgres: Annotated[str | None, typer.Option(help="postgresql://...; default: ASOF_POSTGRES_URL.")] = None,
    as_json: Json = False,
) -> None:
    """Report what is wrong and how to fix it. Exit code 1 if something must be fixed. Changes nothing."""
    report: dict[str, Any] = {}
    with run_command("looking", as_json=as_json) as emit:
        from doctor import Addresses, diagnose
        from flows.runtime.progress import log

        report = diagnose(Addresses(url, mlflow, prefect, postgres), use_case or None, progress=log.info)
        emit(report, findings_screen)
    raise typer.Exit(0 if report["well"] else 1)


@commands.command(cls=AsOfCommand)
def keys(as_json: Json = False) -> None:
    """Print the public key of this machine's signing key, for ASOF_TRUSTED_KEYS on other machines."""
    with run_command("reading the key", as_json=as_json, spinner=False) as emit:
        from asof.settings import Settings
        from asof.trust.signing_keys import key_id, public_text, signing_key

        key = signing_key(Settings()).public_key()
        keys = public_text({key_id(key): key})
        if as_json:
            emit({"keys": keys})
        else:
            typer.echo(keys)  # on one line, to be copied


@commands.command(cls=UseCaseCommand)
def up(use_case: UseCaseToServe, as_json: Json = False) -> None:
    """Start PostgreSQL, MLflow, Prefect and prediction services that follow the registry, one for each use case."""
    next_step = ""
    kept = "Servers that answered go on; the same command starts the others, `make down` ends all."
    with run_command("starting", as_json=as_json, kept=kept) as emit:
        from asof.settings import Settings
        from flows.terminal.up import check_ready, served_use_cases, start_stack

        settings = Settings()
        use_cases = served_use_cases(settings, use_case)
        states = start_stack(settings, use_cases, whole=not use_case)
        next_step = check_ready(settings, states, use_cases)
        emit({"servers": {each.name: asdict(each) for each in states}}, servers_screen)
    exit_with(next_step, failed=False)

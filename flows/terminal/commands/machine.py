"""Commands that start, set up and check the stack."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.terminal.options import First, Json, UseCaseOption, exit_with
from flows.terminal.output import run_command
from flows.terminal.screens.machine import databases_screen, findings_screen

commands = typer.Typer()


@commands.command()
def demo(
    use_case: UseCaseOption,
    data: Annotated[
        Path | None, typer.Option(exists=True, help="Folder of your extracts; default: simulated ones.")
    ] = None,
    as_of: First = None,
    users: Annotated[int, typer.Option(min=400, help="Simulated users.")] = 7043,
    months: Annotated[int, typer.Option(min=2, help="Simulated months, up to the last month end.")] = 6,
) -> None:
    """Run everything from extracts to answers over HTTP. Exit code 0 only if every answer is as expected."""
    passed = False
    with run_command("starting", quiet=True):
        from flows.terminal.demo import demo as run
        from flows.terminal.demo import user_extracts

        extracts = user_extracts(data, as_of.date() if as_of else None) if data else None
        passed = run(Console(), use_case, extracts, users=users, months=months)
    raise typer.Exit(0 if passed else 1)


@commands.command()
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


@commands.command()
def doctor(
    url: Annotated[
        str | None, typer.Option(help="The prediction service's address; default: that of `make up`.")
    ] = None,
    mlflow: Annotated[str | None, typer.Option(help="MLflow's address; default: MLFLOW_TRACKING_URI.")] = None,
    prefect: Annotated[str | None, typer.Option(help="Prefect's address; default: PREFECT_API_URL.")] = None,
    postgres: Annotated[str | None, typer.Option(help="postgresql://...; default: ASOF_POSTGRES_URL.")] = None,
    use_case: Annotated[str | None, typer.Option(help="Check only this use case; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Report what is wrong and how to fix it. Exit code 1 if something must be fixed. Changes nothing."""
    report: dict[str, Any] = {}
    with run_command("looking", as_json=as_json) as emit:
        from doctor import Addresses, diagnose
        from flows.runtime.progress import log

        report = diagnose(Addresses(url, mlflow, prefect, postgres), use_case, progress=log.info)
        emit(report, findings_screen)
    raise typer.Exit(0 if report["well"] else 1)


@commands.command()
def keys() -> None:
    """Print the public key of this machine's signing key, for ASOF_TRUSTED_KEYS on other machines."""
    with run_command("reading the key", quiet=True):
        from asof.settings import Settings
        from asof.trust.signing_keys import key_id, public_text, signing_key

        key = signing_key(Settings()).public_key()
        typer.echo(public_text({key_id(key): key}))


@commands.command()
def up(
    use_case: Annotated[
        str | None, typer.Argument(help="The use case to serve; default: all with a version in Production.")
    ] = None,
) -> None:
    """Start PostgreSQL, MLflow, Prefect and prediction services that follow the registry, one for each use case."""
    next_step = ""
    with run_command("starting"):
        from asof.settings import Settings
        from flows.terminal.up import check_ready, served_use_cases, start_stack
        from local.report import print_states

        settings = Settings()
        use_cases = served_use_cases(settings, use_case)
        states = start_stack(settings, use_cases, whole=use_case is None)
        print_states(states)
        next_step = check_ready(settings, states, use_cases)
    exit_with(next_step, failed=False)

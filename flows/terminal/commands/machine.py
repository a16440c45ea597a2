"""Commands that bring the stack up and look after it."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from asof.settings import Settings
from flows.terminal.options import DefaultUseCase, First, Json, UseCaseOption, exit_with
from flows.terminal.output import account

commands = typer.Typer()


@commands.command()
def demo(
    use_case: UseCaseOption,
    data: Annotated[Path | None, typer.Option(exists=True, help="Your extracts; default: simulated ones.")] = None,
    as_of: First = None,
    users: Annotated[int, typer.Option(min=400, help="Simulated users.")] = 7043,
    months: Annotated[int, typer.Option(min=2, help="Simulated months, up to the last month end.")] = 6,
) -> None:
    """The main job from extracts to answers over HTTP; exit code 0 only if each answer is what the contract says."""
    kept = False
    with account("starting", quiet=True):
        from flows.terminal.demo import demo as run
        from flows.terminal.demo import given_extracts

        given = given_extracts(data, as_of.date() if as_of else None) if data else None
        kept = run(Console(), use_case, given, users=users, months=months)
    raise typer.Exit(0 if kept else 1)


@commands.command()
def databases(
    close_others: Annotated[
        bool, typer.Option("--close-others", help="Nobody may connect to the server's other databases unasked either.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make PostgreSQL's roles, databases and grants, mend what differs, and set the passwords."""
    with account("looking", as_json=as_json) as say:
        from roles.provision import make_databases

        say(make_databases(Settings(), close_others=close_others))


@commands.command()
def doctor(
    url: Annotated[str | None, typer.Option(help="A prediction service; default: the one of `make up`.")] = None,
    mlflow: Annotated[str | None, typer.Option(help="MLflow's address; default: MLFLOW_TRACKING_URI.")] = None,
    prefect: Annotated[str | None, typer.Option(help="Prefect's address; default: PREFECT_API_URL.")] = None,
    postgres: Annotated[str | None, typer.Option(help="postgresql://...; default: ASOF_POSTGRES_URL.")] = None,
    use_case: Annotated[str | None, typer.Option(help="Look at this one only; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Look for what is wrong, with how to fix it; exit code 1 if something must be fixed. Changes nothing."""
    told: dict[str, Any] = {}
    with account("looking", as_json=as_json) as say:
        from doctor import Addresses, diagnose
        from doctor.report import for_people as in_a_table
        from flows.runtime.progress import log

        told = diagnose(Addresses(url, mlflow, prefect, postgres), use_case, say=log.info)
        say(told if as_json else in_a_table(told))
    raise typer.Exit(0 if told["well"] else 1)


@commands.command()
def keys() -> None:
    """Print the public key of this machine's signing key: ASOF_TRUSTED_KEYS of whoever builds or serves elsewhere."""
    with account("reading the key", quiet=True):
        from asof.trust.signing_keys import key_id, public_text, signing_key

        key = signing_key(Settings()).public_key()
        typer.echo(public_text({key_id(key): key}))


@commands.command()
def up(use_case: DefaultUseCase) -> None:
    """Start PostgreSQL, MLflow, Prefect and the prediction service, which follows what is in Production."""
    next_step = ""
    with account("starting"):
        from asof.use_cases import load
        from flows.terminal.up import bring_up, check_answers
        from local.report import print_states

        problem = load(use_case)
        states = bring_up(Settings(), problem)
        print_states(states)
        next_step = check_answers(states, problem)
    exit_with(next_step, failed=False)

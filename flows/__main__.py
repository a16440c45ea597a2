"""AsOf's command line, `python -m flows COMMAND`. Each command runs one flow or stage and prints its result.

Tables go to stdout and progress to stderr; with `--json` the last line of stdout is one JSON object.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from asof import __version__
from asof.errors import ConfigurationError
from asof.settings import Settings
from flows.account import account, shortened
from flows.api_keys import door as api_keys
from flows.criteria import without_figures
from flows.door import default_use_case, open_places, open_settings, open_tracked_settings
from flows.findings import for_people, moment

door = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

door.add_typer(api_keys, name="api-keys")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"asof {__version__}")
        raise typer.Exit


@door.callback(help=__doc__)
def main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print AsOf's version and exit.")
    ] = False,
) -> None: ...



DAY, MOMENT = ["%Y-%m-%d"], ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


UseCaseName = Annotated[str, typer.Argument(help="The use case: a folder of asof/use_cases.")]
DefaultUseCase = Annotated[
    str, typer.Argument(default_factory=default_use_case, help="The use case; default: ASOF_USE_CASE.")
]
UseCaseOption = Annotated[str, typer.Option(default_factory=default_use_case, help="Default: ASOF_USE_CASE.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, the last line of stdout.")]
AsOf = Annotated[datetime | None, typer.Option(formats=MOMENT, help="The moment described, UTC; default: the newest.")]
KnownAt = Annotated[
    datetime | None, typer.Option(formats=MOMENT, help="Only what was known by then, UTC; default: now.")
]
STORES = {"wide": "online_store.store.WideOnlineStore"}
"""Names that are shorter than Feast's."""
First = Annotated[datetime | None, typer.Option("--as-of", formats=DAY, help="The day that month_000 describes.")]


@door.command()
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
        from flows.demo import demo as run
        from flows.demo import given_extracts

        given = given_extracts(data, as_of.date() if as_of else None) if data else None
        kept = run(Console(), use_case, given, users=users, months=months)
    raise typer.Exit(0 if kept else 1)


@door.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Where the extracts go.")] = Path("data/extracts"),
    users: Annotated[int, typer.Option(min=1)] = 7043,
    months: Annotated[int, typer.Option(min=1, help="Up to the last month end.")] = 6,
    seed: int = 42,
    late_share: Annotated[float, typer.Option(help="Share of rows that arrive a month late.")] = 0.0,
    correction_share: Annotated[float, typer.Option(help="Share of rows that are corrected a month later.")] = 0.0,
    drift: Annotated[float, typer.Option(help="Shift of the inputs from month to month.")] = 0.0,
    concept_change_month: Annotated[
        int | None, typer.Option(help="From this month on, churn has other causes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write monthly StreamFlow extracts, with the truth beside them."""
    with account("simulating", as_json=as_json, quiet=True) as say:
        from simulator import SimulationPlan, month_end_before
        from simulator import simulate as stage

        plan = SimulationPlan(
            month_end_before(datetime.now(UTC).date()),
            users=users,
            months=months,
            seed=seed,
            late_share=late_share,
            correction_share=correction_share,
            drift=drift,
            concept_change_month=concept_change_month,
        )
        with Progress(console=Console(stderr=True), transient=True) as bar:
            rows = bar.add_task("simulating")
            done = stage(plan, folder, progress=lambda done, total: bar.update(rows, completed=done, total=total))
        say({**asdict(done), "next": f"python -m flows ingest {folder} --as-of {plan.as_of(0)} --backfill"})


@door.command()
def inspect(
    use_case: UseCaseOption,
    what: Annotated[
        str | None, typer.Argument(metavar="EXTRACTS|AS_OF", help="A folder, or a loaded month; default: the newest.")
    ] = None,
    as_of: First = None,
    known_at: KnownAt = None,
    page: Annotated[Path | None, typer.Option(help="Where the HTML page goes; default: ASOF_HOME/inspections.")] = None,
    as_json: Json = False,
) -> None:
    """Check the data: findings, and a page with pictures. Exit code 1 if one of them would stop training."""
    found: dict[str, Any] = {}
    with account("inspecting", as_json=as_json) as say:
        from flows.inspect_flow import inspect as flow
        from flows.inspect_flow import inspect_folder

        place, told = Path(what or ""), str(page) if page else None
        if what and place.is_dir():
            found = inspect_folder(use_case, place, as_of.date() if as_of else None, told)
        else:
            open_settings()
            found = flow(use_case, moment(what) if what else None, known_at, told)
        say(found if as_json else for_people(found))
    raise typer.Exit(1 if found["stops"] else 0)


@door.command()
def ingest(
    use_case: UseCaseOption,
    folder: Annotated[Path, typer.Argument(help="month_000, labels_000, ... or one extract.")] = Path("data/extracts"),
    as_of: First = None,
    backfill: Annotated[bool, typer.Option(help="Each counts as known when it could have been, not from now.")] = False,
    online_as_of: Annotated[
        datetime | None, typer.Option(formats=MOMENT, help="What the online store shows, UTC; default: the newest.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Write every view anew, over what others wrote.")] = False,
    as_json: Json = False,
) -> None:
    """Load extracts into dated snapshots and bring the online store up to date."""
    with account("ingesting", as_json=as_json) as say:
        open_settings()
        from flows.ingest_flow import ingest as flow
        from flows.parity_flow import narrow

        result = flow(str(folder), as_of.date() if as_of else None, backfill, online_as_of, use_case, whole)
        say(result if as_json else {**result, "parity": narrow(result["parity"])})
    failed = result["parity"]["wrong"] > 0 or bool(result["parity"]["misfit"])
    _exit_with(result["parity"]["next"], failed=failed)


@door.command()
def parity(
    use_case: DefaultUseCase,
    as_of: AsOf = None,
    sample: Annotated[int | None, typer.Option(min=1, help="So many users, drawn by a hash; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Compare the online store with the snapshots, feature by feature; exit code 1 where anything differs."""
    with account("comparing", as_json=as_json) as say:
        open_settings()
        from flows.parity_flow import narrow
        from flows.parity_flow import parity as flow

        result: Any = flow(use_case, as_of, sample, return_state=True).result(raise_on_failure=False)
        if isinstance(result, Exception):
            raise result
        say(result if as_json else narrow(result))
    _exit_with(result["next"], failed=not result["agrees"])


@door.command("switch-store")
def switch_store(
    use_case: UseCaseOption,
    to: Annotated[str, typer.Argument(metavar="wide|postgres|TYPE", help="Ours, Feast's own, or a `type` of Feast's.")],
    drop: Annotated[bool, typer.Option("--drop", help="Delete the tables of the store in use until now.")] = False,
    file: Annotated[
        Path | None, typer.Option(help="Where ASOF_ONLINE_STORE is set; default: the project's .env.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fill another online store, compare it with the one in use, and use it from now on; exit code 1 if they differ."""
    with account("switching", as_json=as_json) as say:
        from asof.settings import PROJECT
        from asof.use_cases import load
        from flows.progress import log
        from training.store_switch import switch_store as stage

        settings, problem, target = open_settings(), load(use_case), STORES.get(to, to)
        done = stage(settings, problem, target, file=file or PROJECT / ".env", drop=drop, progress=log.info)
        say({**asdict(done), "next": "Start the services anew (`make up`): they still read the store of before."})


@door.command()
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


@door.command()
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


@door.command()
def reproduce(use_case: UseCaseName, version: str, as_json: Json = False) -> None:
    """Build and train a version again from the database as known then; exit code 0 only if it comes out the same."""
    with account("reproducing", as_json=as_json) as say:
        open_tracked_settings()
        from flows.reproduce_flow import reproduce as flow

        found = flow(use_case, version)
        say(found if as_json else shortened(found))
    raise typer.Exit(0 if found["agrees"] else 1)


@door.command()
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


@door.command()
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
        from flows.lineage import follow, show

        found = follow(open_tracked_settings(), load(use_case), what)
        if as_json:
            say(found)
    if not as_json:
        show(found)
    raise typer.Exit(1 if found.broken else 0)


@door.command()
def rollback(
    use_case: DefaultUseCase,
    to: Annotated[str | None, typer.Option(help="The version; default: the one before.")] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the version.")] = "rolled back by hand",
    as_json: Json = False,
) -> None:
    """Bring the version back that was in Production before; a service that follows the registry takes it over."""
    with account("rolling back", as_json=as_json) as say:
        from asof.use_cases import load
        from training.promote import rollback as stage

        done = stage(open_settings(), load(use_case), to=to, reason=reason)
        say(asdict(done) | {"next": "A service that follows the registry takes it over within seconds."})


@door.command("accept-definition")
def accept_definition(
    view: Annotated[str, typer.Argument(help="The feature view that is defined otherwise, and means the same.")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    use_case: UseCaseOption,
    as_json: Json = False,
) -> None:
    """Accept how a view is defined now as what the version in Production was trained on; services go on with it."""
    with account("accepting", as_json=as_json) as say:
        from asof.use_cases import load
        from training.acceptance import accept_definition as stage

        problem = load(use_case)
        found = stage(open_tracked_settings(), problem, view, reason=reason)
        say({"accepted": [asdict(each) for each in found]})


@door.command()
def history(use_case: DefaultUseCase, as_json: Json = False) -> None:
    """Who was in Production, since when and why; exit code 1 if anybody has rewritten it."""
    with account("reading", as_json=as_json) as say:
        from asof.use_cases import load
        from flows.entries import for_people as told
        from training.history_report import report_history

        report = report_history(open_settings(), load(use_case))
        say(report if as_json else told(report))
    raise typer.Exit(0 if report.intact else 1)


@door.command()
def bundle(
    use_case: DefaultUseCase,
    run_id: Annotated[
        str | None, typer.Option(help="The MLflow run whose model it holds; default: Production's.")
    ] = None,
    without_model: Annotated[
        bool, typer.Option("--without-model", help="The code alone: it serves what is in Production, from MLflow.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build the Bento of the version in Production, of the model of one run, or of no model."""
    with account("bundling", as_json=as_json) as say:
        if without_model:
            say(_bundle_code(use_case, run_id))
        else:
            open_tracked_settings()
            from flows.bundle_flow import bundle as flow

            say(flow(use_case, run_id))


def _bundle_code(use_case: str, run_id: str | None) -> Any:
    """Neither a database nor Prefect is needed, and none is started."""
    from asof.use_cases import load
    from training.code_bundle import bundle_code

    if run_id:
        raise ConfigurationError("A run's model, or --without-model: leave one of the two out.")
    return asdict(bundle_code(open_places(), load(use_case)))


@door.command()
def image(
    use_case: DefaultUseCase,
    bento: Annotated[
        str | None, typer.Option(help="As name:version; default: the code alone, built if needed.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="As name:tag; default: asof-prediction:VERSION and asof-prediction:latest.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="docker, podman or buildah; default: the first there is.")] = None,
    as_json: Json = False,
) -> None:
    """Build the image of a Bento, on ASOF_BASE_IMAGE."""
    with account("building", as_json=as_json, quiet=True) as say:
        from local.image import containerize

        base = open_places().base_image
        say(asdict(containerize(bento or _bundle_code(use_case, None)["bento_tag"], base, name=name, engine=engine)))


@door.command()
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


@door.command()
def doctor(
    url: Annotated[str | None, typer.Option(help="A prediction service; default: the one of `make up`.")] = None,
    mlflow: Annotated[str | None, typer.Option(help="MLflow's address; default: MLFLOW_TRACKING_URI.")] = None,
    prefect: Annotated[str | None, typer.Option(help="Prefect's address; default: PREFECT_API_URL.")] = None,
    postgres: Annotated[str | None, typer.Option(help="postgresql://...; default: ASOF_POSTGRES_URL.")] = None,
    use_case: Annotated[str | None, typer.Option(help="Look at this one only; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Look for what is wrong, and tell what mends it; exit code 1 if something must be mended. Changes nothing."""
    told: dict[str, Any] = {}
    with account("looking", as_json=as_json) as say:
        from flows.doctor import Addresses, diagnose
        from flows.doctor.report import for_people as in_a_table

        told = diagnose(Addresses(url, mlflow, prefect, postgres), use_case)
        say(told if as_json else in_a_table(told))
    raise typer.Exit(0 if told["well"] else 1)


@door.command()
def keys() -> None:
    """Print the public key of this machine's signing key: ASOF_TRUSTED_KEYS of whoever builds or serves elsewhere."""
    with account("reading the key", quiet=True):
        from asof.signing_keys import key_id, public_text, signing_key

        key = signing_key(Settings()).public_key()
        typer.echo(public_text({key_id(key): key}))


@door.command()
def up(use_case: DefaultUseCase) -> None:
    """Start PostgreSQL, MLflow, Prefect and the prediction service, which follows what is in Production."""
    next_step = ""
    with account("starting"):
        from asof.use_cases import load
        from flows.up import bring_up, check_answers
        from local.report import print_states

        problem = load(use_case)
        states = bring_up(Settings(), problem)
        print_states(states)
        next_step = check_answers(states, problem)
    _exit_with(next_step, failed=False)


@door.command()
def serve(
    use_case: DefaultUseCase,
    port: Annotated[int | None, typer.Option(help="Default: ASOF_PORT, or the next free one.")] = None,
) -> None:
    """Serve the Bento of the version in Production, in the foreground."""
    with account("bundling", quiet=True):
        from asof.use_cases import load
        from local.serve import serve_in_foreground
        from training.bundle import bundle as stage

        settings = open_settings()
        built = stage(settings, load(use_case))
    serve_in_foreground(settings.model_copy(update={"port": port or settings.port}), built.bento_tag)


def _exit_with(next_step: str, *, failed: bool) -> None:
    """Tells what to do, if anything; exit code 1 where something failed."""
    if next_step:
        Console(stderr=True).print(next_step, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    door()

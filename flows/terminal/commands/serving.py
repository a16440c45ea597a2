"""Commands that build a Bento, build its image and serve it."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from asof.errors import ConfigurationError
from flows.runtime.environment import settings_with_database, settings_with_tracking, settings_without_database
from flows.terminal.command import UseCaseCommand
from flows.terminal.options import AnyUseCase, Json, UseCaseOfImage
from flows.terminal.output import run_command
from flows.terminal.runs import choose_run
from flows.terminal.screens.models import bundle_screen, image_screen

commands = typer.Typer()


@commands.command(cls=UseCaseCommand)
def bundle(
    use_case: AnyUseCase,
    run_id: Annotated[
        str | None, typer.Option(help="The MLflow run of the model; default: the version in Production.")
    ] = None,
    without_model: Annotated[
        bool, typer.Option("--without-model", help="Code only: it serves the version in Production from MLflow.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a Bento of the version in Production, of the model of a run, or of code only."""
    with run_command("bundling", as_json=as_json, kept="No Bento is half built; the same command builds it.") as emit:
        if without_model:
            emit(_bundle_code(use_case, run_id), bundle_screen)
        else:
            settings_with_tracking()
            from flows.stages.bundle import bundle as stage

            emit(choose_run()(stage, use_case, run_id), bundle_screen)


def _bundle_code(use_case: str, run_id: str | None) -> Any:
    """Builds a Bento of code only, without a database or Prefect."""
    from asof.use_cases import load
    from flows.runtime.progress import log
    from training.release.bundling.code_bundle import bundle_code

    if run_id:
        raise ConfigurationError("--run-id and --without-model exclude each other: use one of them.")
    log.info("the Bento of %s, code only", use_case)
    return asdict(bundle_code(settings_without_database(), load(use_case)))


@commands.command(cls=UseCaseCommand)
def image(
    use_case: UseCaseOfImage,
    bento: Annotated[str | None, typer.Option(help="As name:version; default: code only, built if needed.")] = None,
    name: Annotated[
        str | None, typer.Option(help="As name:tag; default: asof-prediction:VERSION and asof-prediction:latest.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="docker, podman or buildah; default: the first that is installed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build the image of a Bento; its base image is ASOF_BASE_IMAGE."""
    kept = "The Bento is kept, and the engine keeps finished layers; the same command goes on."
    with run_command("building", as_json=as_json, spinner=False, kept=kept) as emit:
        from asof.use_cases import default_name
        from local.stack.image import containerize

        base = settings_without_database().base_image
        tag = bento or _bundle_code(use_case or default_name(), None)["bento_tag"]
        emit(containerize(tag, base, name=name, engine=engine), image_screen)


@commands.command(cls=UseCaseCommand)
def serve(
    use_case: AnyUseCase,
    port: Annotated[int | None, typer.Option(help="Default: ASOF_PORT, or the next free port.")] = None,
) -> None:
    """Serve the Bento of the version in Production, in the foreground."""
    with run_command("bundling"):
        from asof.use_cases import load
        from local.stack.serve import serve_in_foreground
        from training.release.bundling.bundle import bundle as stage

        settings = settings_with_database()
        built = stage(settings, load(use_case))
    serve_in_foreground(settings.model_copy(update={"port": port or settings.port}), built.bento_tag)

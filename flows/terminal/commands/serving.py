"""Commands that bundle a model, build its image and serve it."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from asof.errors import ConfigurationError
from flows.runtime.door import open_places, open_settings, open_tracked_settings
from flows.terminal.options import DefaultUseCase, Json
from flows.terminal.output import account

commands = typer.Typer()


@commands.command()
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
    from training.release.bundling.code_bundle import bundle_code

    if run_id:
        raise ConfigurationError("A run's model, or --without-model: leave one of the two out.")
    return asdict(bundle_code(open_places(), load(use_case)))


@commands.command()
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
        from local.stack.image import containerize

        base = open_places().base_image
        say(asdict(containerize(bento or _bundle_code(use_case, None)["bento_tag"], base, name=name, engine=engine)))


@commands.command()
def serve(
    use_case: DefaultUseCase,
    port: Annotated[int | None, typer.Option(help="Default: ASOF_PORT, or the next free one.")] = None,
) -> None:
    """Serve the Bento of the version in Production, in the foreground."""
    with account("bundling", quiet=True):
        from asof.use_cases import load
        from local.stack.serve import serve_in_foreground
        from training.release.bundling.bundle import bundle as stage

        settings = open_settings()
        built = stage(settings, load(use_case))
    serve_in_foreground(settings.model_copy(update={"port": port or settings.port}), built.bento_tag)

"""A use case's version in Production -> the prediction service of the local stack, where there is one."""

from dataclasses import asdict
from typing import Any

from asof.errors import AsOfError, ConfigurationError
from asof.settings import Settings
from asof.use_case import UseCase
from local.deploy import Deployed, deploy, standing


def deploy_bento(settings: Settings, use_case: UseCase, bento: str | None = None) -> Deployed:
    """Puts the Bento live, or else that of the version in Production, which is built where there is none.

    Raises ConfigurationError where the Bento is of another use case, or does not come up; the old one goes on.
    """
    if bento is None:
        from training.bundle import bundle

        bento = bundle(settings, use_case).bento_tag
    if bento.partition(":")[0] != use_case.model_name:
        raise ConfigurationError(f"{bento} is no Bento of {use_case.name}: those are named {use_case.model_name}:...")
    return deploy(settings, bento)


def roll_service_back(settings: Settings, use_case: UseCase, version: str) -> dict[str, Any]:
    """What became of the local stack's service after a rollback to the version; empty where it serves something else.

    Raises ConfigurationError where the version does not come up: the registry has it then, the service has not.
    """
    stands = standing(settings)
    if stands is None or stands.bento.partition(":")[0] != use_case.model_name:
        return {}
    if stands.follows:
        return {"service": "follows the registry by itself"}
    try:
        return {"service": asdict(deploy_bento(settings, use_case))}
    except AsOfError as error:
        raise ConfigurationError(
            f"Version {version} is back in the registry, but the service still answers with {stands.bento}: {error} "
            f"Then run `python -m flows deploy {use_case.name}`."
        ) from error

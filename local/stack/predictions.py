"""Prediction services side by side: one for each use case, with a port and a BENTOML_HOME of its own."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path

from local.stack import background
from local.stack.background import Service
from local.stack.services import PREDICTION


def prediction_names(folder: Path) -> list[str]:
    """The names of the prediction services that were started here, and not forgotten."""
    return sorted(file.stem for file in folder.glob(f"{PREDICTION}-*.json"))


def forget_others(folder: Path, names: Iterable[str]) -> None:
    """Removes the records of services with other names that do not run."""
    for name in set(prediction_names(folder)).difference(names):
        if not background.find(name, folder):
            background.record_file(name, folder).unlink()


def with_own_port(service: Service, folder: Path) -> Service:
    """The service at the port that it had. Its `port` is that of the first service, and the others' are above."""
    ports = {name: last.port for name in prediction_names(folder) if (last := background.recorded(name, folder))}
    first = min(ports, key=lambda name: (ports[name] != service.port, ports[name]), default=service.name)
    if service.name == first:
        return service
    others = {service.port, *(port for name, port in ports.items() if name != service.name)}
    wanted = ports.get(service.name, service.port)
    return replace(service, port=next(port for port in count(wanted) if port not in others))


def with_own_home(service: Service, folder: Path, stores: Path) -> Service:
    """The service with its own BENTOML_HOME that links to the shared stores.

    A starting BentoML service empties BENTOML_HOME/prometheus_multiproc_dir, which holds the metrics of running ones.
    """
    home = folder / "bentoml" / service.name
    home.mkdir(parents=True, exist_ok=True)
    for store in ("bentos", "models"):
        (home / store).unlink(missing_ok=True)
        (home / store).symlink_to(stores.resolve() / store)
    return replace(service, environment={**service.environment, "BENTOML_HOME": str(home)})

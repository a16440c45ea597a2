"""A worker's parts, put together when it starts: the model that answers, and who follows the registry for it."""

from pathlib import Path
from typing import TYPE_CHECKING

from asof.serving.lineage import Lineage
from asof.serving.live import Live
from asof.serving.model import load_model
from asof.serving.predictor import Predictor
from asof.serving.worker import Worker
from asof.settings import Settings
from asof.signing_keys import TrustedKeys
from asof.use_case import UseCase

if TYPE_CHECKING:
    from asof.serving.follow import Follower


def assemble(settings: Settings, use_case: UseCase, folder: Path, *, lineage: Lineage, keys: TrustedKeys) -> Live:
    """The Bento's own model, live; not ready where it is the registry that says which one is to answer.

    Raises what `load_model` raises.
    """
    model = load_model(folder, use_case, keys)
    predictor = Predictor(model, lineage, Worker(settings), use_case=use_case)
    return Live(predictor, ready=settings.follow is None)


def follower_of(live: Live, keys: TrustedKeys) -> "Follower":
    """Imported here: who does not follow needs no client of HTTP."""
    from asof.serving.follow import Follower
    from asof.serving.registry import Registry
    from asof.serving.shelf import Shelf, make_folder

    own = live.current
    settings = own.worker.settings
    registry = Registry(settings.registry, own.lineage.name, keys)
    shelf = Shelf(settings.follow_folder or make_folder(None))
    return Follower(live, registry, shelf, load=lambda folder: load_model(folder, own.use_case, keys))

"""The Bento's entry: one service for the use case, and the model if any, that it is built with.

    bentoml serve
    bentoml build
    bentoml build --arg use_case=churn --arg model=streamflow_churn:TAG

The use case is that of ASOF_USE_CASE where none is named. BentoML keeps the arguments in the Bento, so that `bentoml
serve TAG` needs none. `python -m flows bundle churn` brings the model and does the same. Without a model the service
follows the registry; started in the checkout, it finds the servers of `make up`.
"""

from collections.abc import Mapping

import bentoml

from asof.serving.app import Arguments, make_service
from asof.settings import PROJECT, Settings


def surroundings() -> Mapping[str, str]:
    """What the checkout knows of its own stack; a Bento has no `local`, and is told everything by variables."""
    if not (PROJECT / "local").is_dir():
        return {}
    from local.stack import stack

    return stack.surroundings(Settings())


service = make_service(bentoml.use_arguments(Arguments), surroundings)

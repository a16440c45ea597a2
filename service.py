"""The Bento's entry point: one service for the use case, and the model if any, that it is built with.

    bentoml serve --arg use_case=churn
    bentoml build --arg use_case=churn
    bentoml build --arg use_case=churn --arg model=streamflow_churn:TAG

The default use case is that of ASOF_USE_CASE, or the only one. BentoML keeps the arguments in the Bento, so that
`bentoml serve TAG` needs none. `python -m flows bundle churn` does the same with the production version as the model.
Without a model the service follows the registry; started in the checkout, it finds the servers of `make up`.
"""

from collections.abc import Mapping

import bentoml

from asof.serving.app import Arguments, make_service
from asof.settings import PROJECT, Settings


def stack_environment() -> Mapping[str, str]:
    """The variables of the checkout's own stack; a Bento has no `local`, and its environment sets everything."""
    if not (PROJECT / "local").is_dir():
        return {}
    from local.stack import stack

    return stack.platform_environment(Settings())


service = make_service(bentoml.use_arguments(Arguments), stack_environment)

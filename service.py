"""The Bento's entry: one service for the use case, and the model if any, that it is built with.

    bentoml build --arg use_case=churn --arg model=streamflow_churn:TAG

BentoML keeps the arguments in the Bento, so that `bentoml serve TAG` needs none. `python -m flows bundle churn` brings
the model and does the same. Without a model the service follows the registry.
"""

import bentoml

from asof.serving.app import Arguments, make_service

service = make_service(bentoml.use_arguments(Arguments))

"""StreamFlow customer churn: who leaves in the month after the snapshot."""

from asof.use_case import FromStore, UseCase
from asof.use_cases.churn.estimators import ESTIMATORS
from asof.use_cases.churn.payloads import ChurnAnswer, ChurnRequest, respond
from asof.use_cases.churn.questions import questions
from asof.use_cases.churn.raw_schema import EXTRACT

USE_CASE = UseCase(
    name="churn",
    model_name="streamflow_churn",
    title="StreamFlow customer churn",
    source=FromStore(EXTRACT),
    classes=("stays", "leaves"),
    estimators=ESTIMATORS,
    request=ChurnRequest,
    answer=ChurnAnswer,
    respond=respond,
    questions=questions,
)

"""Renewals."""

from asof.use_case import FromStore, UseCase
from asof.use_cases.renewals.estimators import ESTIMATORS
from asof.use_cases.renewals.payloads import RenewalsAnswer, RenewalsRequest, respond
from asof.use_cases.renewals.questions import questions
from asof.use_cases.renewals.raw_schema import EXTRACT

USE_CASE = UseCase(
    name="renewals",
    model_name="renewals",
    title="Renewals",
    source=FromStore(EXTRACT),
    classes=("no_renewed", "renewed"),
    estimators=ESTIMATORS,
    request=RenewalsRequest,
    answer=RenewalsAnswer,
    respond=respond,
    questions=questions,
)

"""Diabetes: how far has it progressed a year later, by ten measurements of a patient? These come in the request."""

from asof.model_facts import Split
from asof.targets import Regression
from asof.use_case import FromRequest, UseCase
from asof.use_cases.diabetes.data import AS_OF, CONTRACT, LABEL, UNIT, rows
from asof.use_cases.diabetes.estimators import ESTIMATORS
from asof.use_cases.diabetes.payloads import DiabetesAnswer, DiabetesRequest, features, respond
from asof.use_cases.diabetes.questions import questions

USE_CASE = UseCase(
    name="diabetes",
    model_name="diabetes",
    title="Diabetes: progression after a year",
    source=FromRequest(CONTRACT, LABEL, AS_OF, rows=rows, features=features),
    target=Regression(UNIT, minimum=0),
    estimators=ESTIMATORS,
    request=DiabetesRequest,
    answer=DiabetesAnswer,
    respond=respond,
    questions=questions,
    split=Split(share=0.3, seed=42),
)

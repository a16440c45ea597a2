"""Wine: of which of three cultivars is it, by thirteen measurements? These come in the request."""

from asof.model_facts import Split
from asof.targets import Multiclass
from asof.use_case import FromRequest, UseCase
from asof.use_cases.wine.data import AS_OF, CLASSES, CONTRACT, LABEL, rows
from asof.use_cases.wine.estimators import ESTIMATORS
from asof.use_cases.wine.payloads import WineAnswer, WineRequest, features, respond
from asof.use_cases.wine.questions import questions

USE_CASE = UseCase(
    name="wine",
    model_name="wine",
    title="Wine: one of three cultivars",
    source=FromRequest(CONTRACT, LABEL, AS_OF, rows=rows, features=features),
    target=Multiclass(CLASSES),
    estimators=ESTIMATORS,
    request=WineRequest,
    answer=WineAnswer,
    respond=respond,
    questions=questions,
    split=Split(share=0.35, seed=42),
)

"""Breast cancer: is a mass benign, by thirty measurements of its cell nuclei? These come in the request."""

from asof.model_facts import Split
from asof.targets import Binary
from asof.use_case import FromRequest, UseCase
from asof.use_cases.breast_cancer.data import AS_OF, CLASSES, CONTRACT, LABEL, rows
from asof.use_cases.breast_cancer.estimators import ESTIMATORS
from asof.use_cases.breast_cancer.features import DERIVED
from asof.use_cases.breast_cancer.payloads import BreastCancerAnswer, BreastCancerRequest, features, respond
from asof.use_cases.breast_cancer.questions import questions

USE_CASE = UseCase(
    name="breast_cancer",
    model_name="breast_cancer",
    title="Breast cancer: benign or malignant",
    source=FromRequest(CONTRACT, LABEL, AS_OF, rows=rows, features=features),
    target=Binary(CLASSES, threshold=0.5),
    estimators=ESTIMATORS,
    request=BreastCancerRequest,
    answer=BreastCancerAnswer,
    respond=respond,
    questions=questions,
    derived=DERIVED,
    split=Split(share=0.3, seed=42),
)

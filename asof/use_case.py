"""UseCase: what a prediction problem must supply. One folder of `asof.use_cases` holds one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from asof.errors import ConfigurationError
from asof.extract_schema import ExtractSchema
from asof.feature_contract import FeatureContract

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


@dataclass(frozen=True)
class Estimator:
    """One way to fit a model: the Feast FeatureService whose features it takes, and how to build it.

    `build(contract, random_state)` gives an unfitted scikit-learn classifier that takes the frame of
    `asof.feature_contract.model_frame` and is made of library classes only. `summary` is one line for people.
    """

    feature_service: str
    build: Callable[[FeatureContract, int], "ClassifierMixin"]
    summary: str


@dataclass(frozen=True)
class Score:
    """What the model says of one row: the probability of the positive class and the threshold of the decision."""

    probability: float
    threshold: float

    @property
    def positive(self) -> bool:
        return self.probability >= self.threshold


@dataclass(frozen=True)
class Question:
    """One request of the demo and what the contract promises: the status, and members that the answer must hold."""

    title: str
    body: str
    status: int
    holds: Mapping[str, Any]

    def is_answered_by(self, status: int, answer: Mapping[str, Any]) -> bool:
        """Whether the answer keeps the promise."""
        return status == self.status and all(answer.get(name) == value for name, value in self.holds.items())


@dataclass(frozen=True)
class UseCase:
    """A prediction problem.

    `name` is the folder and the word in the terminal, `model_name` the name in MLflow and BentoML. `request` and
    `answer` are the payloads; `respond` makes the problem's own part of the answer from the request and the score.
    `questions(month)` is what the demo asks once the extract in the folder `month` is loaded.
    """

    name: str
    model_name: str
    title: str
    extract: ExtractSchema
    estimators: Mapping[str, Estimator]
    request: type[BaseModel]
    answer: type[BaseModel]
    respond: Callable[[Any, Score], BaseModel]
    questions: Callable[[Path], Sequence[Question]]
    default_estimator: str = "default"
    held_out_share: float = 0.25

    def estimator(self, name: str | None = None) -> Estimator:
        """The estimator of that name, or the default one. Raises ConfigurationError, naming those that exist."""
        chosen = name or self.default_estimator
        if chosen not in self.estimators:
            known = ", ".join(sorted(self.estimators))
            raise ConfigurationError(f"{self.name} has no estimator {chosen!r}; it has: {known}.")
        return self.estimators[chosen]

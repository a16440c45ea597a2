"""UseCase: what a prediction problem must supply. One folder of `asof.use_cases` holds one of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from asof.errors import ConfigurationError, ModelError
from asof.extract_schema import ExtractSchema
from asof.features.feature_contract import Compute, FeatureContract
from asof.model_facts import ModelFacts, Split

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.base import ClassifierMixin


@dataclass(frozen=True)
class GateBounds:
    """The margins of the comparison with the version in Production, and what each version must keep.

    `auc_margin`: the AUC must be greater by more than this at the lower end of the 95 % interval of the difference.
    `log_loss_margin`: the mean log loss may be greater by less than this at the upper end of its interval: the better
    order of users must not be paid for with worse probabilities. `calibration_error`: the greatest expected
    calibration error (0 to 1), where the rows are enough to tell it from chance. `latency_seconds`: the greatest
    median time of one prediction without its lookup.
    """

    auc_margin: float = 0.0
    log_loss_margin: float = 0.01
    calibration_error: float = 0.05
    latency_seconds: float = 0.1


@dataclass(frozen=True)
class FromStore:
    """The service looks the features up in the feature store; features and labels of training lie in the extract's
    tables."""

    extract: ExtractSchema


@dataclass(frozen=True)
class Given:
    """One feature as a request gives it: its name, its value, and the place in the body, such as `features.3`."""

    name: str
    value: float
    place: str


@dataclass(frozen=True)
class FromRequest:
    """The features come in the request: those of `contract`, whose `entity` is the key of a training row.

    `rows()` gives the whole data set, shape (rows, 1 + features + 1): the key (text, each once), the features, and
    `label` (bool). `as_of` is the moment that it describes. `given(request)` gives each feature of a request that is
    valid as a payload.
    """

    contract: FeatureContract
    label: str
    as_of: datetime
    rows: Callable[[], "pd.DataFrame"]
    given: Callable[[Any], Sequence[Given]]


@dataclass(frozen=True)
class Estimator:
    """One way to fit a model: how to build it, and the Feast FeatureService whose features it takes.

    `build(contract, random_state)` gives an unfitted scikit-learn classifier that takes the frame of
    `asof.features.feature_contract.model_input` and is made of library classes only. `summary` is one line for people.
    `feature_service` is empty where the features come in the request.
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
    """A prediction problem with two classes.

    `name` is the folder and the word in the terminal, `model_name` the name in MLflow and BentoML. `classes` names the
    classes of the labels 0 and 1. `request` and `answer` are the payloads; `respond` makes the problem's own part of
    the answer from the request and the score. `questions(month)` is what the demo asks once the extract in the folder
    `month` is loaded (None: the features come in the request). `derived` are columns that are computed from the
    features, in training and in serving, before the model sees them. `threshold` is the probability of class 1 from
    which it is the answer (None: the one of the greatest F1 on the training side). `gate` is what a version must keep
    in order to go into Production.
    """

    name: str
    model_name: str
    title: str
    source: FromStore | FromRequest
    classes: tuple[str, str]
    estimators: Mapping[str, Estimator]
    request: type[BaseModel]
    answer: type[BaseModel]
    respond: Callable[[Any, Score], BaseModel]
    questions: Callable[[Path | None], Sequence[Question]]
    derived: Mapping[str, Compute] = field(default_factory=dict)
    threshold: float | None = None
    split: Split = field(default_factory=Split)
    gate: GateBounds = field(default_factory=GateBounds)
    default_estimator: str = "default"
    acknowledged: tuple[str, ...] = ()
    """Names of data-check errors that are known and may be trained on; each deserves a comment that says why."""

    @property
    def extract(self) -> ExtractSchema:
        """The files of an extract. Raises ConfigurationError where the features come in the request."""
        if isinstance(self.source, FromRequest):
            raise ConfigurationError(f"{self.name} takes its features in the request: it has no extracts.")
        return replace(self.source.extract, use_case=self.name)

    def estimator(self, name: str | None = None) -> Estimator:
        """The estimator of that name, or the default one. Raises ConfigurationError, naming those that exist."""
        chosen = name or self.default_estimator
        if chosen not in self.estimators:
            known = ", ".join(sorted(self.estimators))
            raise ConfigurationError(f"{self.name} has no estimator {chosen!r}; it has: {known}.")
        return self.estimators[chosen]

    def check_model(self, facts: ModelFacts) -> None:
        """Raises ModelError for a model of another use case, or one that takes what this one no longer gives.

        Features of the feature store are compared with its registry, when the service opens it.
        """
        if facts.use_case != self.name:
            raise ModelError(f"This is a model of {facts.use_case!r}, not of {self.name!r}.")
        if isinstance(self.source, FromRequest) and facts.contract != self.source.contract:
            found = facts.contract.difference(self.source.contract, "the request")
            raise ModelError(
                f"The model takes other features than a request of {self.name} now gives: {found}. Train again."
            )
        self.derivations(facts.derived)

    def derivations(self, names: Iterable[str]) -> Mapping[str, Compute]:
        """How to compute the derived columns that a model takes. Raises ModelError for one that is gone."""
        if gone := [name for name in names if name not in self.derived]:
            raise ModelError(
                f"The model takes {', '.join(gone)}, which {self.name} no longer computes: put it back, or train again."
            )
        return {name: self.derived[name] for name in names}

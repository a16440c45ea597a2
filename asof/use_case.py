"""UseCase: what a prediction problem must supply. Each folder of `asof.use_cases` defines one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from asof.errors import ConfigurationError, ModelError
from asof.extracts.schema import ExtractSchema
from asof.features.feature_contract import Compute, FeatureContract
from asof.given_features import Given, RequestFeature
from asof.model_facts import ModelFacts, Split
from asof.monitor_bounds import MonitorBounds
from asof.targets import Score as Score
from asof.targets import Target

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.base import BaseEstimator

LEAST_ROWS = 2
"""Of which an interval can be computed at all."""


@dataclass(frozen=True)
class GateBounds:
    """The margins of the comparison with the champion, and the limits that each version must keep.

    `auc_margin`: the lower end of the 95 % interval of the AUC's gain must exceed it. `log_loss_margin`: the upper end
    of the interval of the log loss's rise must stay below it, so that better ranking is not paid for with worse
    probabilities. `calibration_error`: the maximum expected calibration error (0 to 1), applied where there are enough
    rows to distinguish it from chance. `error_margin`: of a number, the lower end of the interval of the fall of the
    mean absolute error must exceed it, in the target's unit. `latency_seconds`: the maximum median time of one
    prediction without its lookup.

    `min_rows_per_class` and `min_rows` (of a number) are the held-out rows below which nothing is compared: with fewer
    than the defaults the intervals miss more often than they say. `equivalence_margin`, where it is set: a version that
    is lighter to serve may replace one that it is equivalent to within this difference of the AUC or, of a number, of
    the mean absolute error. `min_shadow_answers`, where it is set: a later version must have scored so many answers of
    the one in Production (ASOF_SHADOW) without a failure, and the share of other decisions must be at most
    `max_shadow_differing` at its interval's upper end. Raises ConfigurationError for numbers that no comparison can
    have.
    """

    auc_margin: float = 0.0
    log_loss_margin: float = 0.01
    calibration_error: float = 0.05
    error_margin: float = 0.0
    latency_seconds: float = 0.1
    min_rows_per_class: int = 15
    min_rows: int = 50
    equivalence_margin: float | None = None
    min_shadow_answers: int | None = None
    max_shadow_differing: float = 1.0

    def __post_init__(self) -> None:
        if min(self.min_rows_per_class, self.min_rows) < LEAST_ROWS:
            raise ConfigurationError(
                f"min_rows_per_class is {self.min_rows_per_class}, min_rows {self.min_rows}: an interval needs "
                f"at least {LEAST_ROWS}. Change them."
            )
        if self.equivalence_margin is not None and not 0 < self.equivalence_margin < inf:
            raise ConfigurationError(
                f"The equivalence margin {self.equivalence_margin} must be finite and above zero. Or leave it out."
            )
        if (
            self.min_shadow_answers is not None and self.min_shadow_answers < 1
        ) or not 0 < self.max_shadow_differing <= 1:
            raise ConfigurationError(
                f"min_shadow_answers is {self.min_shadow_answers}, max_shadow_differing {self.max_shadow_differing}: "
                "they must be at least 1, and above 0 up to 1. Or leave both out."
            )


@dataclass(frozen=True)
class FromStore:
    """Served features come from the feature store; features and labels of training are in the extract's tables.

    `given` are further features, which come in the request. Raises ConfigurationError where their raw table is not one
    of the extract.
    """

    extract: ExtractSchema
    given: Given | None = None

    def __post_init__(self) -> None:
        if self.given and self.given.table.name not in {table.name for table in self.extract.tables}:
            raise ConfigurationError(f"Raw table {self.given.table.name!r} of given features: add it to the extract.")


@dataclass(frozen=True)
class FromRequest:
    """The features of `contract` come in the request; the contract's `entity` is the key of a training row.

    `rows()` returns the whole data set, shape (rows, 1 + features + 1): the unique key (text), the features, and
    `label`, as the target takes it; `as_of` is the moment that it describes. `features(request)` returns those of a
    valid payload.
    """

    contract: FeatureContract
    label: str
    as_of: datetime
    rows: Callable[[], "pd.DataFrame"]
    features: Callable[[Any], Sequence[RequestFeature]]


@dataclass(frozen=True)
class Estimator:
    """A named model to fit on the features of a Feast FeatureService (empty: they come in the request).

    `build(contract, random_state)` returns an unfitted scikit-learn classifier or regressor, as the target needs, made
    of library classes only, that takes the frame of `asof.features.feature_contract.model_input`. `summary` is one line
    for people.
    """

    feature_service: str
    build: Callable[[FeatureContract, int], "BaseEstimator"]
    summary: str


@dataclass(frozen=True)
class Question:
    """One request of the demo with the expected status and members of the answer."""

    title: str
    body: str
    status: int
    members: Mapping[str, Any]

    def is_answered_by(self, status: int, answer: Mapping[str, Any]) -> bool:
        """Whether status and members are as expected."""
        return status == self.status and all(answer.get(name) == value for name, value in self.members.items())


@dataclass(frozen=True)
class UseCase:
    """A prediction problem.

    `name` is its folder and its name in commands, `model_name` the name in MLflow and BentoML. `target` is what it
    predicts. `request` and `answer` are the payloads; `respond(request, score)` makes the problem's own part of the
    answer, from the `Score`, `ClassScore` or `ValueScore` of its target. With features of the store, `request` has a
    member for each key of the extract, of a type in `asof.features.entity_key`, and one for each given feature.
    `questions(month)` are the demo's requests once the extract in the folder `month` is loaded (None: the features come
    in the request). `derived` columns are computed from the features, in training and in serving alike. `gate` are the
    limits for production, `monitoring` those of what is watched there.
    """

    name: str
    model_name: str
    title: str
    source: FromStore | FromRequest
    target: Target
    estimators: Mapping[str, Estimator]
    request: type[BaseModel]
    answer: type[BaseModel]
    respond: Callable[[Any, Any], BaseModel]
    questions: Callable[[Path | None], Sequence[Question]]
    derived: Mapping[str, Compute] = field(default_factory=dict)
    split: Split = field(default_factory=Split)
    gate: GateBounds = field(default_factory=GateBounds)
    monitoring: MonitorBounds = field(default_factory=MonitorBounds)
    default_estimator: str = "default"
    slices: tuple[str, ...] = ()
    """Features by which monitoring divides the entities: text by value, numbers by quarters of the training rows."""
    acknowledged: tuple[str, ...] = ()
    """Names of data-check errors that training may ignore; each deserves a comment that says why."""

    def __post_init__(self) -> None:
        if self.given:
            self.given.check_payload(self.name, self.request)
        if isinstance(self.source, FromStore):
            self.target.check_column(self.source.extract.label_column)

    @property
    def extract(self) -> ExtractSchema:
        """The schema of its extracts. Raises ConfigurationError where the features come in the request."""
        if isinstance(self.source, FromRequest):
            raise ConfigurationError(f"{self.name} takes its features in the request: it has no extracts.")
        return replace(self.source.extract, use_case=self.name)

    @property
    def sample(self) -> float:
        """The share of the labelled entities that a training set has."""
        return self.source.extract.sample if isinstance(self.source, FromStore) else 1.0

    def sampled(self, share: float) -> "UseCase":
        """The use case with another share. Raises ConfigurationError where it cannot be sampled."""
        if share == self.sample:
            return self
        if isinstance(self.source, FromRequest):
            raise ConfigurationError(f"{self.name} has rows of its own: let its data set return fewer of them.")
        return replace(self, source=replace(self.source, extract=replace(self.extract, sample=share)))

    @property
    def given(self) -> Given | None:
        """Its given features beside those of the store; None without any, and where all come in the request."""
        return self.source.given if isinstance(self.source, FromStore) else None

    def estimator(self, name: str | None = None) -> Estimator:
        """The estimator of that name, or the default. Raises ConfigurationError, listing those that exist."""
        chosen = name or self.default_estimator
        if chosen not in self.estimators:
            known = ", ".join(sorted(self.estimators))
            raise ConfigurationError(f"{self.name} has no estimator {chosen!r}; it has: {known}.")
        return self.estimators[chosen]

    def check_model(self, facts: ModelFacts) -> None:
        """Raises ModelError for a model of another use case or target, or with columns that this one does not provide.

        Features of the feature store are compared with its registry when the service opens it.
        """
        if facts.use_case != self.name:
            raise ModelError(f"This is a model of {facts.use_case!r}, not of {self.name!r}.")
        self.target.check_output(facts.output)
        if difference := self.request_difference(facts.contract):
            raise ModelError(
                f"The model takes other features than a request of {self.name} now has: {difference}. Train again."
            )
        self.derivations(facts.derived)

    def request_difference(self, contract: FeatureContract) -> str:
        """How a model's features that come in the request differ from those of the payload; empty where they do not."""
        match self.source:
            case FromRequest(contract=now):
                return contract.difference(now, "the request")
            case FromStore(given=given):
                own = contract.given
                now = replace(own, features=given.features if given else ())
                return own.difference(now, "the request")

    def derivations(self, names: Iterable[str]) -> Mapping[str, Compute]:
        """The functions of the derived columns `names`. Raises ModelError for one that is not defined."""
        if gone := [name for name in names if name not in self.derived]:
            raise ModelError(
                f"The model takes {', '.join(gone)}, which {self.name} no longer computes: restore it or train again."
            )
        return {name: self.derived[name] for name in names}

"""Rules: what the offline stream asks of a target. Each of the other modules implements them for one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asof.targets import Output, Target
from asof.use_case import GateBounds
from training.metrics.classification import Estimate, Floats
from training.metrics.statistics import Effect

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as arrow
    from sklearn.base import BaseEstimator

Labels = NDArray[Any]
"""Of n rows: int64 codes of classes, or float64 numbers; shape (n,)."""


@dataclass(frozen=True)
class Contest:
    """Labels and predictions of the same held-out rows, of shape (rows,) or (rows, classes).

    `champion` is None where nothing is in Production. `constant` is the prediction of a constant model, from the rows
    that are not held out. `seed` is that of random draws. `lighter` says in what the challenger is cheaper to serve
    than the champion; empty where it is not, or where nobody asked.
    """

    labels: Labels
    challenger: Floats
    champion: Floats | None
    constant: Floats | float
    seed: int
    lighter: str = ""

    @property
    def champion_or_constant(self) -> Floats:
        """The predictions to beat."""
        if self.champion is not None:
            return self.champion
        return np.broadcast_to(np.asarray(self.constant, dtype=np.float64), self.challenger.shape)


@dataclass(frozen=True)
class Criterion:
    """One condition of promotion: whether it holds, its figures, and the reason as a sentence.

    `ground` is added to the reason of a promotion: on what it rests where it does not rest on a better metric.
    """

    name: str
    passed: bool
    figures: Mapping[str, float]
    reason: str
    ground: str = ""


@dataclass(frozen=True)
class Headline:
    """The metric that names a version: its key in the metrics, and its title."""

    metric: str
    title: str


@dataclass(frozen=True)
class Importance:
    """How the importance of a column is measured: scikit-learn's scorer, and what it costs to shuffle one."""

    scorer: Any
    title: str


@dataclass(frozen=True)
class Shift:
    """A change of the labels between two months: an effect, whether it is large, and a clause that tells it."""

    effect: Effect
    large: bool
    text: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Quality:
    """A figure of a quick model with its standard error; more is better. `drop` is the loss that matters.

    `title` names it in a sentence, `figure` in the figures of a finding.
    """

    title: str
    figure: str
    estimate: Estimate
    error: float
    drop: float


class Rules(Protocol):
    """The rules of one target, on encoded labels and predictions.

    `card` is the template of the model card; `titles` names the metrics with intervals, in order. A single column leaks
    where the lower bound of its AUC is above `leak_auc`, one of its values where that of the share of the rarer outcome
    is above `leak_share`.
    """

    @property
    def target(self) -> Target: ...

    @property
    def card(self) -> str: ...

    @property
    def titles(self) -> Mapping[str, str]: ...

    @property
    def leak_auc(self) -> float: ...

    @property
    def leak_share(self) -> float: ...

    @property
    def headline(self) -> Headline: ...

    @property
    def importance(self) -> Importance: ...

    # Labels

    def encode(self, values: "pd.Series[Any]") -> Labels:
        """Labels of the frame as codes or numbers."""

    def fault(self, values: "pd.Series[Any]") -> str:
        """What is wrong with raw labels, as a clause after "the labels"; empty where nothing is."""

    def side_fault(self, labels: Labels) -> str:
        """Why no model can be fitted or measured on a side with these labels, as what it has; empty where one can."""

    def fold_fault(self, labels: Labels) -> str:
        """Why the training side cannot be divided into folds, in the same form."""

    def strata(self, labels: Labels) -> Labels | None:
        """The labels by which random draws are stratified; None: by none."""

    def describe(self, labels: Labels) -> tuple[str, Mapping[str, float]]:
        """The labels of a comparison, as a clause after the number of rows, and as figures."""

    # Fitting

    def check_estimator(self, estimator: "BaseEstimator", name: str) -> None:
        """Raises ModelError for an estimator of another kind."""

    def predictions(self, model: Any, features: "pd.DataFrame") -> Floats:
        """Those of a fitted estimator. Raises ModelError where they are none of the target."""

    def sample(self, labels: Labels) -> NDArray[np.int64]:
        """The numbers of a few rows on which to try an estimator."""

    def folds(self, random_state: int) -> Any:
        """scikit-learn's splitter for predictions out of fold."""

    def output(self, labels: Labels, out_of_fold: Callable[[], Floats]) -> Output:
        """The output of a model fitted on rows with these labels; `out_of_fold` predicts each from the other rows."""

    def constant(self, labels: Labels) -> Floats | float:
        """The best prediction that is the same for every row."""

    # Evaluation

    def metrics(self, labels: Labels, predictions: Floats, output: Any, constant: Floats | float) -> dict[str, float]:
        """All held-out metrics, with the `_low` and `_high` ends of 95 % intervals where there are enough rows."""

    def estimates(self, labels: Labels, predictions: Floats) -> dict[str, Estimate]:
        """The main figures of any rows with their intervals; without those that rows of one class do not have."""

    def gains(self, labels: Labels, predictions: Floats, without: Floats) -> dict[str, Estimate]:
        """How much better each figure is than that of `without`, paired by row; more is better."""

    def pictures(
        self, labels: Labels, predictions: Floats, output: Any, metrics: Mapping[str, float]
    ) -> dict[str, bytes]:
        """The plots of the model card as PNG, by name."""

    def documents(self, labels: Labels, predictions: Floats, output: Any) -> dict[str, Any]:
        """Further JSON files of the run, by name."""

    def order(self, predictions: Floats) -> Floats:
        """One number for each row, by which golden rows are picked at equal steps."""

    # Data checks

    def rate(self, labels: Floats) -> float | None:
        """The share of positives, or None where there is no such share."""

    def shift(self, before: Floats, after: Floats) -> "Shift":
        """How the labels of two months differ, each shape (rows,)."""

    def events(self, labels: Floats) -> list[NDArray[np.bool_]]:
        """Labels as one or more outcomes that occur or not, shape (rows,) each: for checks that take no other."""

    def quick_model(self) -> "BaseEstimator":
        """An unfitted model of raw columns, of which text is categorical."""

    def quality(self, labels: Labels, predictions: Floats) -> "Quality":
        """How good a quick model is on rows that it was not fitted on."""

    # Promotion and scoring

    def criteria(self, contest: Contest, bounds: GateBounds) -> tuple[Criterion, ...]:
        """Whether a first version beats a constant model, or a later one the version in Production."""

    def score_columns(self, predictions: Floats, output: Any) -> "dict[str, arrow.Array]":
        """The columns of scored rows; null where a prediction is NaN."""


def too_few(rules: Rules, labels: Labels, bounds: GateBounds) -> bool:
    """Whether the gate would not compare a model on rows with these labels."""
    strata: NDArray[np.int64] | None = rules.strata(labels)
    if strata is None:
        return labels.size < bounds.min_rows
    return bool(np.bincount(strata, minlength=len(rules.target.classes or ())).min() < bounds.min_rows_per_class)

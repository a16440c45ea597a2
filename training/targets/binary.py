"""The rules of two classes: labels are 0 and 1, predictions the probability of 1, shape (rows,)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from asof.targets import Binary, BinaryOutput
from asof.use_case import GateBounds
from training.metrics import plots
from training.metrics.classification import (
    Estimate,
    Floats,
    Labels,
    auc_difference,
    auc_estimate,
    best_threshold,
    best_threshold_by_cost,
    confusion,
    cost_curve,
    ends,
    mean_estimate,
    measure,
    plain_mean,
    row_costs,
    row_log_loss,
)
from training.metrics.statistics import auc_error, two_shares
from training.targets.binary_criteria import comparison_criteria
from training.targets.estimators import QUICK, check_classifier, probabilities, rows_of_each_class
from training.targets.rules import Contest, Criterion, Headline, Importance, Quality, Shift

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as arrow
    from sklearn.base import BaseEstimator

THRESHOLD_FOLDS = 3
LARGE_RATE_CHANGE = 0.02
"""The change of the label rate from which a significant one is a warning."""


@dataclass(frozen=True)
class BinaryRules:
    """The rules of a `Binary`."""

    target: Binary

    card: ClassVar[str] = "binary.html"
    titles: ClassVar[Mapping[str, str]] = {
        "auc": "Area under the ROC curve",
        "average_precision": "Average precision",
        "log_loss": "Log loss",
        "brier": "Brier score",
        "calibration_error": "Expected calibration error (ten equal bins)",
        "cost": "Cost of a row",
    }
    leak_auc: ClassVar[float] = 0.9
    leak_share: ClassVar[float] = 0.95
    headline: ClassVar[Headline] = Headline("auc", "AUC")
    importance: ClassVar[Importance] = Importance("roc_auc", "AUC lost when the column is shuffled")

    def encode(self, values: "pd.Series[Any]") -> Labels:
        return values.to_numpy(dtype=np.int64)

    def fault(self, values: "pd.Series[Any]") -> str:
        known = values.isin([False, True]).to_numpy(dtype=bool)
        if not known.all():
            return f"hold {values[~known].tolist()[0]!r}, and must be False or True"
        return "" if values.nunique() > 1 else "must be both False and True"

    def side_fault(self, labels: Labels) -> str:
        return "" if len(set(labels)) > 1 else f"{labels.size} complete rows and not both labels"

    def fold_fault(self, labels: Labels) -> str:
        counts = np.bincount(labels)
        if counts.min() >= THRESHOLD_FOLDS:
            return ""
        return (
            f"{counts.min()} complete rows with the label {bool(counts.argmin())}: at least {THRESHOLD_FOLDS} are "
            "needed, one for each fold"
        )

    def strata(self, labels: Labels) -> Labels:
        return labels

    def describe(self, labels: Labels) -> tuple[str, Mapping[str, float]]:
        positives = float(labels.sum())
        return f"{positives:.0f} of them positive", {"positives": positives}

    def check_estimator(self, estimator: "BaseEstimator", name: str) -> None:
        check_classifier(estimator, name)

    def predictions(self, model: Any, features: "pd.DataFrame") -> Floats:
        """Raises ModelError where the model has no `predict_proba`, has other classes than 0 and 1, or gives values
        outside of 0 to 1.
        """
        return probabilities(model, features, ["0", "1"])[:, 1]

    def sample(self, labels: Labels) -> NDArray[np.int64]:
        return rows_of_each_class(labels, 2)

    def folds(self, random_state: int) -> Any:
        from sklearn.model_selection import StratifiedKFold

        return StratifiedKFold(THRESHOLD_FOLDS, shuffle=True, random_state=random_state)

    def output(self, labels: Labels, out_of_fold: Callable[[], Floats]) -> BinaryOutput:
        """With the target's threshold, or that of the least cost or the best F1 out of fold."""
        if self.target.threshold is not None:
            return BinaryOutput(self.target.threshold)
        if self.target.costs:
            return BinaryOutput(best_threshold_by_cost(labels, out_of_fold(), **vars(self.target.costs)))
        return BinaryOutput(best_threshold(labels, out_of_fold()))

    def constant(self, labels: Labels) -> float:
        """The share of positives."""
        return float(labels.mean())

    def metrics(
        self, labels: Labels, predictions: Floats, output: BinaryOutput, constant: Floats | float
    ) -> dict[str, float]:
        answers = predictions >= output.threshold
        matrix = confusion(labels, answers)
        base_rate = np.full(labels.size, constant)
        return {
            **measure(labels, predictions, output.threshold),
            **_intervals(labels, predictions),
            "log_loss_constant": float(row_log_loss(labels, base_rate).mean()),
            **{
                f"recall_{name.replace(' ', '_')}": float(matrix[code, code] / matrix[code].sum())
                for code, name in enumerate(self.target.classes)
            },
            **self._costs(labels, answers.astype(np.int64)),
        }

    def _costs(self, labels: Labels, answers: Labels) -> dict[str, float]:
        """The mean cost of a row at the threshold, and where all or none are answered positive."""
        if self.target.costs is None:
            return {}
        matrix = self.target.costs.matrix
        cost = mean_estimate(labels, row_costs(labels, answers, matrix))
        return {
            "cost": cost.value,
            **ends({"cost": cost}),
            "cost_all_positive": float(row_costs(labels, np.ones_like(labels), matrix).mean()),
            "cost_none_positive": float(row_costs(labels, np.zeros_like(labels), matrix).mean()),
        }

    def estimates(self, labels: Labels, predictions: Floats) -> dict[str, Estimate]:
        both = 0 < labels.sum() < labels.size
        return {
            **({"auc": auc_estimate(labels, predictions)} if both else {}),
            "log_loss": plain_mean(row_log_loss(labels, predictions)),
            "brier": plain_mean((predictions - labels) ** 2),
        }

    def gains(self, labels: Labels, predictions: Floats, without: Floats) -> dict[str, Estimate]:
        saved = row_log_loss(labels, without) - row_log_loss(labels, predictions)
        return {"auc": auc_difference(labels, predictions, without), "log_loss": mean_estimate(labels, saved)}

    def pictures(
        self, labels: Labels, predictions: Floats, output: BinaryOutput, metrics: Mapping[str, float]
    ) -> dict[str, bytes]:
        matrix = confusion(labels, predictions >= output.threshold)
        drawn = {
            "roc": plots.roc(labels, predictions, metrics),
            "precision_recall": plots.precision_recall(labels, predictions, metrics),
            "calibration": plots.calibration(labels, predictions, metrics),
            "confusion_matrix": plots.confusion_matrix(matrix, self.target.classes),
        }
        if costs := self.target.costs:
            curve = cost_curve(labels, predictions, **vars(costs))
            drawn["cost"] = plots.cost_curve(*curve, output.threshold)
        return drawn

    def documents(self, labels: Labels, predictions: Floats, output: BinaryOutput) -> dict[str, Any]:
        matrix = confusion(labels, predictions >= output.threshold)
        counts = {"classes": list(self.target.classes), "counts_by_true_class_and_answer": matrix.tolist()}
        return {"confusion_matrix.json": counts}

    def order(self, predictions: Floats) -> Floats:
        return predictions

    def rate(self, labels: Floats) -> float | None:
        return float(labels.mean()) if labels.size else None

    def shift(self, before: Floats, after: Floats) -> Shift:
        moved = two_shares(before, after)
        text = f"from {before.mean():.2%} ({before.size:,} labels) to {after.mean():.2%} ({after.size:,})"
        figures = {"before": float(before.mean()), "after": float(after.mean())}
        return Shift(moved, abs(moved.size) >= LARGE_RATE_CHANGE, text, figures)

    def events(self, labels: Floats) -> list[NDArray[np.bool_]]:
        return [labels == 1]

    def quick_model(self) -> "BaseEstimator":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(**QUICK)

    def quality(self, labels: Labels, predictions: Floats) -> Quality:
        """The AUC."""
        area = auc_estimate(labels, predictions)
        negatives, positives = np.bincount(labels, minlength=2).tolist()
        return Quality("an AUC", "auc", area, auc_error(area.value, negatives, positives), drop=0.05)

    def criteria(self, contest: Contest, bounds: GateBounds) -> tuple[Criterion, ...]:
        return comparison_criteria(contest, bounds)

    def score_columns(self, predictions: Floats, output: BinaryOutput) -> "dict[str, arrow.Array]":
        import pyarrow as arrow
        from pyarrow import compute

        column = arrow.array(predictions, mask=np.isnan(predictions))
        return {"probability": column, "label": compute.greater_equal(column, output.threshold)}


def _intervals(labels: Labels, probabilities: Floats) -> dict[str, float]:
    """The 95 % intervals that the gate uses; without those that have too few rows."""
    estimates = {
        "auc": auc_estimate(labels, probabilities),
        "log_loss": mean_estimate(labels, row_log_loss(labels, probabilities)),
        "brier": mean_estimate(labels, (probabilities - labels) ** 2),
    }
    return ends(estimates)

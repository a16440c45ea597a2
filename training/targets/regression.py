"""The rules of a number: labels and predictions are float64 in the target's unit, shape (rows,)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from asof.errors import ModelError, TrainingSetError
from asof.targets import Regression, RegressionOutput
from asof.use_case import GateBounds
from training.metrics import plots
from training.metrics.bootstrap import mean_by_bootstrap
from training.metrics.classification import Estimate, Floats, ends
from training.metrics.regression import conformal_margin, error_estimates
from training.metrics.statistics import kolmogorov_smirnov
from training.targets.estimators import QUICK, check_regressor, class_name
from training.targets.regression_criteria import comparison_criteria
from training.targets.rules import Contest, Criterion, Headline, Importance, Quality, Shift

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as arrow
    from sklearn.base import BaseEstimator

FOLDS = 5
MIN_ROWS = 2 * FOLDS
SAMPLE_ROWS = 60
LARGE_SHIFT = 0.1
"""The greatest distance of two distributions from which a significant change is a warning."""


@dataclass(frozen=True)
class RegressionRules:
    """The rules of a `Regression`."""

    target: Regression

    card: ClassVar[str] = "regression.html"
    titles: ClassVar[Mapping[str, str]] = {
        "mae": "Mean absolute error",
        "rmse": "Root mean squared error",
        "r2": "R2",
        "coverage": "Share of outcomes within their interval",
    }
    leak_auc: ClassVar[float] = 0.99
    leak_share: ClassVar[float] = 1.0
    """Last month's number may well tell on which side of the median this month's is."""
    headline: ClassVar[Headline] = Headline("mae", "mean absolute error")
    importance: ClassVar[Importance] = Importance(
        "neg_mean_absolute_error", "Mean absolute error gained when the column is shuffled"
    )

    def encode(self, values: "pd.Series[Any]") -> Floats:
        if invalid := self._invalid(values):
            raise TrainingSetError(f"The labels {invalid}: correct them.")
        return values.to_numpy(dtype=np.float64)

    def fault(self, values: "pd.Series[Any]") -> str:
        if invalid := self._invalid(values):
            return invalid
        return "" if values.nunique() > 1 else f"are all {values.iloc[0]:g}, and a model needs different ones"

    def _invalid(self, values: "pd.Series[Any]") -> str:
        import pandas as pd

        if values.empty:
            return "are missing"
        if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
            return f"are {values.dtype}, such as {values.tolist()[0]!r}, and must be numbers"
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        if (wrong := ~np.isfinite(numbers)).any():
            return f"hold {numbers[wrong][0]}, and must be finite numbers"
        low, high = self.target.range
        if (outside := (numbers < low) | (numbers > high)).any():
            return f"hold {numbers[outside][0]:g}, and must be from {low:g} to {high:g}"
        return ""

    def side_fault(self, labels: Floats) -> str:
        return "" if len(set(labels)) > 1 else f"{labels.size} complete rows and not two different labels"

    def fold_fault(self, labels: Floats) -> str:
        coverage = self.target.coverage
        least = max(MIN_ROWS, ceil(coverage / (1 - coverage)))  # with fewer rows the conformal margin is infinite
        return "" if labels.size >= least else f"{labels.size} complete rows: at least {least} are needed"

    def strata(self, labels: Floats) -> None:
        return None

    def describe(self, labels: Floats) -> tuple[str, Mapping[str, float]]:
        mean = float(labels.mean())
        return f"{mean:.4g} {self.target.unit} at the mean", {"mean": mean}

    def check_estimator(self, estimator: "BaseEstimator", name: str) -> None:
        check_regressor(estimator, name)

    def predictions(self, model: Any, features: "pd.DataFrame") -> Floats:
        """Raises ModelError for a value that is not finite, or not one for each row."""
        values = np.asarray(model.predict(features), dtype=np.float64)
        if values.size != len(features):
            raise ModelError(f"{class_name(model)} predicts {values.shape[1:]} numbers a row: fit it on one label.")
        if invalid := int((~np.isfinite(values)).sum()):
            raise ModelError(
                f"{class_name(model)} predicts no finite number for {invalid} of {values.size} rows: "
                "scale its columns, or use another estimator."
            )
        return values.reshape(-1)

    def sample(self, labels: Floats) -> NDArray[np.int64]:
        return np.arange(min(labels.size, SAMPLE_ROWS))

    def folds(self, random_state: int) -> Any:
        from sklearn.model_selection import KFold

        return KFold(FOLDS, shuffle=True, random_state=random_state)

    def output(self, labels: Floats, out_of_fold: Callable[[], Floats]) -> RegressionOutput:
        """With the conformal margin of residuals out of fold, of models that are fitted on four fifths of the rows."""
        target = self.target
        margin = conformal_margin(labels - out_of_fold(), target.coverage)
        return RegressionOutput(target.unit, margin, target.coverage, target.minimum, target.maximum)

    def constant(self, labels: Floats) -> float:
        """The median, which has the least absolute error."""
        return float(np.median(labels))

    def metrics(
        self, labels: Floats, predictions: Floats, output: RegressionOutput, constant: Floats | float
    ) -> dict[str, float]:
        estimates = self.estimates(labels, predictions)
        return {
            **{name: each.value for name, each in estimates.items()},
            **ends(estimates),
            "mae_constant": float(np.abs(labels - constant).mean()),
            "constant": float(constant),
            "coverage": float((np.abs(labels - predictions) <= output.margin).mean()),
            "margin": output.margin,
        }

    def estimates(self, labels: Floats, predictions: Floats) -> dict[str, Estimate]:
        found = error_estimates(labels, predictions)
        return found if np.unique(labels).size > 1 else {name: each for name, each in found.items() if name != "r2"}

    def gains(self, labels: Floats, predictions: Floats, without: Floats) -> dict[str, Estimate]:
        return {"mae": mean_by_bootstrap(np.abs(labels - without) - np.abs(labels - predictions))}

    def pictures(
        self, labels: Floats, predictions: Floats, output: RegressionOutput, metrics: Mapping[str, float]
    ) -> dict[str, bytes]:
        unit = self.target.unit
        return {
            "predicted_against_true": plots.predicted_against_true(labels, predictions, output.margin, unit),
            "residuals": plots.residuals(labels, predictions, unit),
        }

    def documents(self, labels: Floats, predictions: Floats, output: RegressionOutput) -> dict[str, Any]:
        return {}

    def order(self, predictions: Floats) -> Floats:
        return predictions

    def rate(self, labels: Floats) -> None:
        return None

    def shift(self, before: Floats, after: Floats) -> Shift:
        """By the Kolmogorov-Smirnov test."""
        moved = kolmogorov_smirnov(before, after)
        first, second = float(np.median(before)), float(np.median(after))
        text = f"from {first:.4g} ({before.size:,} labels) to {second:.4g} ({after.size:,}) at the median"
        return Shift(moved, moved.size >= LARGE_SHIFT, text, {"before": first, "after": second})

    def events(self, labels: Floats) -> list[NDArray[np.bool_]]:
        """Whether a label is above the median."""
        return [labels > np.median(labels)]

    def quick_model(self) -> "BaseEstimator":
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(**QUICK)

    def quality(self, labels: Floats, predictions: Floats) -> Quality:
        """The share of the labels' mean absolute deviation from their median that a prediction explains."""
        spread = float(np.abs(labels - np.median(labels)).mean())
        gained = mean_by_bootstrap(1 - np.abs(labels - predictions) / spread)
        error = float((np.abs(labels - predictions) / spread).std(ddof=1) / np.sqrt(labels.size))
        return Quality("an explained share of the deviation", "explained", gained, error, drop=0.1)

    def criteria(self, contest: Contest, bounds: GateBounds) -> tuple[Criterion, ...]:
        return comparison_criteria(contest, bounds, self.target.unit)

    def score_columns(self, predictions: Floats, output: RegressionOutput) -> "dict[str, arrow.Array]":
        import pyarrow as arrow

        missing, (least, greatest) = np.isnan(predictions), output.range
        low, high = (predictions - output.margin).clip(least), (predictions + output.margin).clip(None, greatest)
        columns = {"value": predictions, "low": low, "high": high}
        return {name: arrow.array(values, mask=missing) for name, values in columns.items()}

"""The rules of several classes: labels are codes in the target's order, predictions of shape (rows, classes)."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from asof.errors import ModelError, TrainingSetError
from asof.targets import Multiclass, MulticlassOutput
from asof.use_case import GateBounds
from training.metrics import plots
from training.metrics.classification import Estimate, Floats, Labels, ends, plain_mean, row_costs, stratified_mean
from training.metrics.multiclass import (
    classwise_calibration_error,
    confusion,
    log_loss_estimate,
    macro_auc_difference,
    macro_auc_estimate,
    metric_key,
    never_cheapest,
    row_log_loss,
)
from training.metrics.statistics import auc_error, psi
from training.targets.estimators import (
    QUICK,
    SUM_TOLERANCE,
    check_classifier,
    class_name,
    probabilities,
    rows_of_each_class,
)
from training.targets.multiclass_criteria import comparison_criteria
from training.targets.rules import Contest, Criterion, Headline, Importance, Quality, Shift

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as arrow
    from sklearn.base import BaseEstimator

logger = logging.getLogger("asof.training")

FOLDS = 3
LARGE_PSI = 0.1
"""The stability index of the classes from which a significant change is a warning."""


@dataclass(frozen=True)
class MulticlassRules:
    """The rules of a `Multiclass`."""

    target: Multiclass

    card: ClassVar[str] = "multiclass.html"
    titles: ClassVar[Mapping[str, str]] = {
        "auc": "Area under the ROC curve, mean of each class against the rest",
        "log_loss": "Log loss",
        "brier": "Brier score, sum over classes",
        "calibration_error": "Classwise calibration error (ten equal bins)",
        "accuracy": "Accuracy",
        "cost": "Cost of a row",
        "cost_most_probable": "Cost of a row where the most probable class is answered",
        "cost_saved": "Cost of a row saved by that",
    }
    leak_auc: ClassVar[float] = 0.99
    leak_share: ClassVar[float] = 1.0
    """Some values are of one class alone, as a measurement that only one cultivar reaches."""
    headline: ClassVar[Headline] = Headline("auc", "macro AUC")

    @property
    def importance(self) -> Importance:
        def scorer(model: Any, features: "pd.DataFrame", labels: Labels) -> float:
            return -float(row_log_loss(labels, self.predictions(model, features)).mean())

        return Importance(scorer, "Log loss gained when the column is shuffled")

    def encode(self, values: "pd.Series[Any]") -> Labels:
        import pandas as pd

        codes = pd.Categorical(values, categories=self.target.classes).codes
        if (codes < 0).any():
            raise TrainingSetError(f"The labels {self.fault(values)}: correct them.")
        return codes.astype(np.int64)

    def fault(self, values: "pd.Series[Any]") -> str:
        known = values.isin(self.target.classes).to_numpy(dtype=bool)
        if not known.all():
            other = values[~known].tolist()[0]
            return f"hold {other!r}, and the classes are {', '.join(self.target.classes)}"
        return "" if values.nunique() > 1 else "are all the same, and a model needs several classes"

    def side_fault(self, labels: Labels) -> str:
        return "" if len(set(labels)) > 1 else f"{labels.size} complete rows and not two classes"

    def fold_fault(self, labels: Labels) -> str:
        counts = np.bincount(labels, minlength=len(self.target.classes))
        if counts.min() >= FOLDS:
            return ""
        rarest = self.target.classes[counts.argmin()]
        return f"{counts.min()} complete rows of the class {rarest!r}: at least {FOLDS} are needed, one for each fold"

    def strata(self, labels: Labels) -> Labels:
        return labels

    def describe(self, labels: Labels) -> tuple[str, Mapping[str, float]]:
        counts = np.bincount(labels, minlength=len(self.target.classes)).tolist()
        by_name = dict(zip(self.target.classes, map(float, counts), strict=True))
        return ", ".join(f"{count:.0f} {name}" for name, count in by_name.items()), by_name

    def check_estimator(self, estimator: "BaseEstimator", name: str) -> None:
        check_classifier(estimator, name)

    def predictions(self, model: Any, features: "pd.DataFrame") -> Floats:
        """Raises ModelError as `probabilities` does, and where those of a row do not sum to 1."""
        values = probabilities(model, features, [str(code) for code in range(len(self.target.classes))])
        if wrong := int((abs(values.sum(axis=1) - 1) > SUM_TOLERANCE).sum()):
            raise ModelError(f"{class_name(model)} gives {wrong} rows probabilities that do not sum to 1: use another.")
        return values

    def sample(self, labels: Labels) -> NDArray[np.int64]:
        return rows_of_each_class(labels, len(self.target.classes))

    def folds(self, random_state: int) -> Any:
        from sklearn.model_selection import StratifiedKFold

        return StratifiedKFold(FOLDS, shuffle=True, random_state=random_state)

    def output(self, labels: Labels, out_of_fold: Callable[[], Floats]) -> MulticlassOutput:
        if never := self.never_answered:
            logger.warning("With these costs the answer is never %s: no probabilities make it cheapest.", never)
        costs = self.target.costs
        return MulticlassOutput(self.target.classes, costs and tuple(tuple(map(float, row)) for row in costs))

    @property
    def never_answered(self) -> str:
        """The classes that the costs never make the answer; empty where there is none."""
        return ", ".join(self.target.classes[code] for code in never_cheapest(self.target.costs or ()))

    def constant(self, labels: Labels) -> Floats:
        """The share of each class."""
        return np.asarray(np.bincount(labels, minlength=len(self.target.classes)) / labels.size)

    def metrics(
        self, labels: Labels, predictions: Floats, output: MulticlassOutput, constant: Floats | float
    ) -> dict[str, float]:
        from sklearn.metrics import accuracy_score, precision_recall_fscore_support

        codes, answers = range(len(self.target.classes)), output.answers(predictions)
        estimates = {
            **self.estimates(labels, predictions),
            "log_loss": log_loss_estimate(labels, predictions),
            "brier": stratified_mean(labels, self._squares(labels, predictions)),
            **_costs(labels, predictions, output),
        }
        scores = precision_recall_fscore_support(labels, answers, labels=list(codes), zero_division=0.0)
        names = [metric_key(name) for name in self.target.classes]
        constants = np.broadcast_to(np.asarray(constant), predictions.shape)
        return {
            **{name: each.value for name, each in estimates.items()},
            **ends(estimates),
            "calibration_error": classwise_calibration_error(labels, predictions),
            "accuracy": float(accuracy_score(labels, answers)),
            "log_loss_constant": float(row_log_loss(labels, constants).mean()),
            **{f"precision_{name}": float(scores[0][code]) for code, name in enumerate(names)},
            **{f"recall_{name}": float(scores[1][code]) for code, name in enumerate(names)},
            **{f"rows_{name}": float((labels == code).sum()) for code, name in enumerate(names)},
        }

    def estimates(self, labels: Labels, predictions: Floats) -> dict[str, Estimate]:
        both = np.unique(labels).size > 1
        return {
            **({"auc": macro_auc_estimate(labels, predictions)} if both else {}),
            "log_loss": plain_mean(row_log_loss(labels, predictions)),
            "brier": plain_mean(self._squares(labels, predictions)),
        }

    def _squares(self, labels: Labels, predictions: Floats) -> Floats:
        return np.asarray(((predictions - np.eye(len(self.target.classes))[labels]) ** 2).sum(axis=1))

    def gains(self, labels: Labels, predictions: Floats, without: Floats) -> dict[str, Estimate]:
        saved = row_log_loss(labels, without) - row_log_loss(labels, predictions)
        return {
            "auc": macro_auc_difference(labels, predictions, without),
            "log_loss": stratified_mean(labels, saved),
        }

    def pictures(
        self, labels: Labels, predictions: Floats, output: MulticlassOutput, metrics: Mapping[str, float]
    ) -> dict[str, bytes]:
        answer = "most probable class" if output.costs is None else "least expected cost"
        title, classes = f"Confusion matrix of the {answer}, held-out rows", self.target.classes
        return {
            "confusion_matrix": plots.confusion_matrix(_matrix(labels, predictions, output), classes, title=title),
            "calibration": plots.reliability(labels, predictions, classes, metrics["calibration_error"]),
        }

    def documents(self, labels: Labels, predictions: Floats, output: MulticlassOutput) -> dict[str, Any]:
        matrix = _matrix(labels, predictions, output).tolist()
        counts = {"classes": list(self.target.classes), "counts_by_true_class_and_answer": matrix}
        return {"confusion_matrix.json": counts}

    def order(self, predictions: Floats) -> Floats:
        """By the most probable class, then by its probability: rows of every answer are picked."""
        return np.asarray(predictions.argmax(axis=1) + predictions.max(axis=1) / 2)

    def rate(self, labels: Floats) -> None:
        return None

    def shift(self, before: Floats, after: Floats) -> Shift:
        """By the population stability index of the classes."""
        moved = psi(before, after, levels=True)
        names = self.target.classes
        rates = [
            f"{names[code]} {(before == code).mean():.2%} to {(after == code).mean():.2%}" for code in range(len(names))
        ]
        return Shift(moved, moved.size >= LARGE_PSI, f"by class: {', '.join(rates)}", {"psi": moved.size})

    def events(self, labels: Floats) -> list[NDArray[np.bool_]]:
        """Each class against the rest."""
        return [labels == code for code in range(len(self.target.classes))]

    def quick_model(self) -> "BaseEstimator":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(**QUICK)

    def quality(self, labels: Labels, predictions: Floats) -> Quality:
        """The macro AUC; its standard error treats the classes as independent of each other."""
        auc = macro_auc_estimate(labels, predictions)
        errors = [
            auc_error(auc.value, int((labels == code).sum()), int((labels != code).sum())) for code in np.unique(labels)
        ]
        return Quality("a macro AUC", "macro_auc", auc, float(np.linalg.norm(errors) / len(errors)), drop=0.05)

    def criteria(self, contest: Contest, bounds: GateBounds) -> tuple[Criterion, ...]:
        return comparison_criteria(contest, bounds, self.target.classes)

    def score_columns(self, predictions: Floats, output: MulticlassOutput) -> "dict[str, arrow.Array]":
        import pyarrow as arrow

        answered = ~np.isnan(predictions[:, 0])
        best = output.answers(predictions)
        names = [output.classes[code] if known else None for code, known in zip(best, answered, strict=True)]
        rows = zip(predictions.tolist(), answered, strict=True)
        texts = [json.dumps(dict(zip(output.classes, row, strict=True))) if known else None for row, known in rows]
        text = arrow.large_string()
        return {"class_name": arrow.array(names, text), "probabilities": arrow.array(texts, text)}


def _matrix(labels: Labels, predictions: Floats, output: MulticlassOutput) -> NDArray[np.int64]:
    return confusion(labels, output.answers(predictions), len(output.classes))


def _costs(labels: Labels, predictions: Floats, output: MulticlassOutput) -> dict[str, Estimate]:
    """The mean cost of a row by the answers, by the most probable classes, and what the former save."""
    if output.costs is None:
        return {}
    matrix = np.array(output.costs)
    own, other = (row_costs(labels, each, matrix) for each in (output.answers(predictions), predictions.argmax(axis=1)))
    columns = {"cost": own, "cost_most_probable": other, "cost_saved": other - own}
    return {name: stratified_mean(labels, values) for name, values in columns.items()}

"""Labels, probabilities and metrics -> PNG images, drawn on Figure objects without pyplot's global state."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.metrics.classification import Floats, Labels, bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BARS = 20
INK, BLUE, GREY, RED = "#1f2933", "#2166ac", "#9aa5b1", "#b2182b"


def roc(labels: Labels, probabilities: Floats, metrics: Mapping[str, float]) -> bytes:
    """The ROC curve, with the diagonal and the chosen threshold."""
    from sklearn.metrics import roc_curve

    figure, axes = canvas("ROC curve, held-out rows", "False positive rate", "True positive rate (recall)")
    false_positive, true_positive, thresholds = roc_curve(labels, probabilities, drop_intermediate=False)
    bounds = f"95 % interval {metrics['auc_low']:.3f} to {metrics['auc_high']:.3f}"
    axes.plot(false_positive, true_positive, color=BLUE, label=f"AUC {metrics['auc']:.3f} ({bounds})")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="chance, AUC 0.5")
    at = int(np.searchsorted(-thresholds, -metrics["threshold"], side="right")) - 1
    axes.plot(false_positive[at], true_positive[at], "o", color=RED, label=f"threshold {metrics['threshold']:.3f}")
    return _unit_square(figure, axes)


def precision_recall(labels: Labels, probabilities: Floats, metrics: Mapping[str, float]) -> bytes:
    """The precision-recall curve, with the base rate and the chosen threshold."""
    from sklearn.metrics import precision_recall_curve

    figure, axes = canvas("Precision and recall, held-out rows", "Recall", "Precision")
    precision, recall, _ = precision_recall_curve(labels, probabilities)
    axes.step(
        recall, precision, where="post", color=BLUE, label=f"average precision {metrics['average_precision']:.3f}"
    )
    axes.axhline(metrics["base_rate"], color=GREY, linestyle="--", label=f"base rate {metrics['base_rate']:.3f}")
    label = f"threshold {metrics['threshold']:.3f}, F1 {metrics['f1_at_threshold']:.3f}"
    axes.plot(metrics["recall_at_threshold"], metrics["precision_at_threshold"], "o", color=RED, label=label)
    return _unit_square(figure, axes)


def calibration(labels: Labels, probabilities: Floats, metrics: Mapping[str, float]) -> bytes:
    """Predicted against observed, in ten bins of equal size, each with its 95 % interval (normal approximation)."""
    figure, axes = canvas("Calibration, held-out rows", "Mean predicted probability", "Share of positives")
    groups = bins(probabilities)
    predicted = np.array([probabilities[rows].mean() for rows in groups])
    observed = np.array([labels[rows].mean() for rows in groups])
    margin = 1.96 * np.sqrt(observed * (1 - observed) / np.array([rows.size for rows in groups]))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfect calibration")
    label = f"tenths of the rows, expected calibration error {metrics['calibration_error']:.3f}"
    axes.errorbar(predicted, observed, yerr=margin, fmt="o-", color=BLUE, ecolor=BLUE, capsize=3, label=label)
    axes.axhline(metrics["base_rate"], color=GREY, linestyle=":", label=f"base rate {metrics['base_rate']:.3f}")
    return _unit_square(figure, axes)


def confusion_matrix(
    matrix: NDArray[np.int64],
    classes: Sequence[str],
    *,
    title: str = "Confusion matrix at the threshold, held-out rows",
) -> bytes:
    """The confusion matrix; the colour is the share of the true class."""
    figure, axes = canvas(title, "Answer", "True class")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.6)
    for (true, answer), count in np.ndenumerate(matrix):
        text = f"{count:,}\n{shares[true, answer]:.1%}"
        axes.text(answer, true, text, ha="center", va="center", color=INK, fontsize=13)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    axes.grid(visible=False)
    return png(figure)


def importance(losses: Mapping[str, float], title: str) -> bytes:
    """Permutation importance, the most important column at the top; `title` names what a shuffled column costs."""
    figure, axes = canvas("Permutation importance, held-out rows", title, "")
    names = list(losses)[:MAX_BARS][::-1]
    values = [losses[name] for name in names]
    bars = axes.barh(names, values, color=[BLUE if value > 0 else GREY for value in values])
    axes.bar_label(bars, fmt="{:z.3f}", padding=3, fontsize=8, color=INK)
    axes.margins(x=0.15)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(visible=False, axis="y")
    return png(figure)


def cost_curve(thresholds: Floats, costs: Floats, threshold: float) -> bytes:
    """The mean cost of a row at each threshold, and the chosen one."""
    figure, axes = canvas("Expected cost, held-out rows", "Threshold", "Mean cost of a row")
    axes.step(thresholds, costs, where="pre", color=BLUE, label="cost of the answers")
    axes.axvline(threshold, color=RED, linestyle="--", label=f"threshold {threshold:.3f}")
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return png(figure)


def reliability(labels: Labels, probabilities: Floats, classes: Sequence[str], error: float) -> bytes:
    """Predicted against observed for each class against the rest, in ten bins of equal size."""
    figure, axes = canvas(
        "Calibration of each class, held-out rows", "Mean predicted probability", "Share of the class"
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label=f"perfect; classwise calibration error {error:.3f}")
    for code, name in enumerate(classes):
        own, hits = probabilities[:, code], labels == code
        groups = bins(own)
        axes.plot([own[rows].mean() for rows in groups], [hits[rows].mean() for rows in groups], "o-", label=name)
    return _unit_square(figure, axes)


def predicted_against_true(labels: Floats, predictions: Floats, margin: float, unit: str) -> bytes:
    """Each row's prediction and outcome, with the diagonal and the interval around it."""
    figure, axes = canvas("Predicted against true, held-out rows", f"Predicted, {unit}", f"True, {unit}")
    ends = np.array([min(labels.min(), predictions.min()), max(labels.max(), predictions.max())])
    axes.plot(predictions, labels, "o", color=BLUE, alpha=0.5, markersize=4)
    axes.plot(ends, ends, color=GREY, linestyle="--", label="perfect prediction")
    if np.isfinite(margin):
        axes.fill_between(ends, ends - margin, ends + margin, color=GREY, alpha=0.2, label=f"interval, {margin:.4g}")
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return png(figure)


def residuals(labels: Floats, predictions: Floats, unit: str) -> bytes:
    """Each row's residual, outcome minus prediction, against its prediction."""
    figure, axes = canvas("Residuals, held-out rows", f"Predicted, {unit}", f"True minus predicted, {unit}")
    axes.plot(predictions, labels - predictions, "o", color=BLUE, alpha=0.5, markersize=4)
    axes.axhline(0, color=GREY, linestyle="--")
    return png(figure)


def canvas(title: str, x_label: str, y_label: str) -> tuple["Figure", "Axes"]:
    """A figure with one pair of axes, in the style of all plots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, color=INK, loc="left")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _unit_square(figure: "Figure", axes: "Axes") -> bytes:
    """The legend is below the axes, where it covers no curve."""
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return png(figure)


def png(figure: "Figure") -> bytes:
    """The figure as the bytes of a PNG image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()

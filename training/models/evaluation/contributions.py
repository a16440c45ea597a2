"""Explainer and held-out rows -> what each column contributes overall, as figures and as a picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asof.inference.explanation.explainer import Explainer
from training.metrics.plots import BLUE, GREY, INK, MAX_BARS, RED, canvas, png
from training.models.compilation.explanation.explain import arrays_of, sample_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
HALF_WIDTH = 0.38
"""Of a strip of points, whose distance to the next is 1."""


@dataclass(frozen=True)
class Contributions:
    """`values` has those of each column in each of the rows `features`, both of shape (rows, columns)."""

    space: str
    values: pd.DataFrame
    features: pd.DataFrame

    @property
    def mean_absolute(self) -> dict[str, float]:
        """The mean size of each column's contributions, the greatest first."""
        means = self.values.abs().mean().sort_values(ascending=False, kind="stable")
        return {str(name): float(value) for name, value in means.items()}


def contributions(explainer: Explainer, features: pd.DataFrame) -> Contributions:
    """Of held-out rows at equal steps: 500, or as many as can be explained in a second or so."""
    rows = sample_of(explainer, features)
    explained = explainer.explain(arrays_of(rows))
    values = pd.DataFrame([each.contributions for each in explained], columns=list(explainer.columns))
    return Contributions(str(explainer.space), values, rows.reset_index(drop=True))


def picture(found: Contributions) -> bytes:
    """A point for each row and column, coloured by the column's value; the column of the greatest mean at the top."""
    figure, axes = canvas(
        f"Contributions, {len(found.values):,} held-out rows", f"Contribution to the {found.space}", ""
    )
    means = list(found.mean_absolute.items())[:MAX_BARS][::-1]
    for place, (name, _) in enumerate(means):
        _strip(axes, place, found.values[name].to_numpy(), found.features[name])
    axes.set_yticks(range(len(means)), [f"{name}  {mean:.3g}" for name, mean in means])
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(visible=False, axis="y")
    for color, label in ((BLUE, "low value"), (RED, "high value"), (GREY, "text")):
        axes.scatter([], [], color=color, s=12, label=label)
    figure.legend(loc="outside lower center", frameon=False, fontsize=9, ncols=3)
    return png(figure)


def _strip(axes: "Axes", place: int, contributed: Floats, values: "pd.Series[Any]") -> None:
    """The points of one column, side by side where many have the same contribution."""
    from matplotlib.colors import LinearSegmentedColormap

    offsets = place + HALF_WIDTH * _spread(contributed)
    if values.dtype == object:
        axes.scatter(contributed, offsets, color=GREY, s=6, linewidths=0)
        return
    ranks = values.rank(pct=True).fillna(0.5)
    colors = LinearSegmentedColormap.from_list("values", [BLUE, "#d9d9d9", RED])
    axes.scatter(contributed, offsets, c=ranks, cmap=colors, vmin=0, vmax=1, s=6, linewidths=0)


def _spread(contributed: Floats) -> Floats:
    """From -1 to 1: how far each point is from the middle, so that points of the same fiftieth are apart."""
    width = float(np.ptp(contributed)) or 1.0
    bins = np.floor((contributed - contributed.min()) / width * 50).astype(np.int64)
    ranks = pd.Series(bins).groupby(bins).cumcount().to_numpy()
    most = max(1, int(ranks.max()))
    spread: Floats = np.where(ranks % 2, 1.0, -1.0) * ((ranks + 1) // 2) * 2 / (most + 1)
    return spread

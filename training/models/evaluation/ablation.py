"""FittedModel -> Ablations: the gain of each derived column, against a model fitted without it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from training.metrics.classification import Floats
from training.models.fitting.fit import FittedModel, best_estimator, fit, predictions


@dataclass(frozen=True)
class Gain:
    """How much better a held-out metric is with the column than without it, with its 95 % interval."""

    figure: str
    value: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Ablation:
    """The gains of one derived column in the figures of its target (a gain is a smaller loss)."""

    column: str
    gains: tuple[Gain, ...]

    @property
    def verdict(self) -> str:
        """One sentence for the model card."""
        if not any(gain.significant for gain in self.gains):
            return "Nothing that these held-out rows can show."
        changes = [f"{gain.figure} {'gains' if gain.value > 0 else 'loses'}" for gain in self.gains if gain.significant]
        return f"A difference that these held-out rows show: {', '.join(changes)}."


def ablate(fitted: FittedModel, predicted: Floats) -> tuple[Ablation, ...]:
    """One for each derived column; `predicted` are the model's on the held-out side.

    A search is repeated without the column. Differences are paired by row.
    """
    return tuple(Ablation(column, _gains(fitted, predicted, column)) for column in fitted.facts.derived)


def metrics_of(ablations: tuple[Ablation, ...]) -> Mapping[str, float]:
    """The gains as metrics, such as `gain_auc.mean_radius_x_mean_texture`, with `_low` and `_high` ends."""
    return {
        f"gain_{gain.figure}{end}.{ablation.column.replace(' ', '_')}": value
        for ablation in ablations
        for gain in ablation.gains
        for end, value in {"": gain.value, "_low": gain.low, "_high": gain.high}.items()
    }


def _gains(fitted: FittedModel, predicted: Floats, column: str) -> tuple[Gain, ...]:
    gains = fitted.rules.gains(fitted.held_out.labels, predicted, _predictions_without(fitted, column))
    return tuple(Gain(figure, each.value, each.low, each.high) for figure, each in gains.items())


def _predictions_without(fitted: FittedModel, column: str) -> Floats:
    """Held-out predictions of the same estimator fitted without the column."""
    kept = {name: compute for name, compute in fitted.train_side.derived.items() if name != column}
    train_side, held_out = (replace(side, derived=kept) for side in (fitted.train_side, fitted.held_out))
    chosen = fitted.use_case.estimator(fitted.estimator)
    model = best_estimator(fit(chosen, train_side, fitted.facts.random_state))
    return predictions(model, held_out)

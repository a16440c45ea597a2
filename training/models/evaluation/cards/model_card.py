"""TrainedModel, metrics and plots -> the model card: one self-contained HTML page."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files

from training.metrics.multiclass import metric_key
from training.models.evaluation.ablation import Ablation
from training.models.evaluation.contributions import Contributions
from training.models.fitting.train import TrainedModel

MODEL_CARD = "model_card.html"
"""The artifact of the run, and our template."""
UNREGISTERED = "<b>not registered</b>"


def model_card(
    trained: TrainedModel,
    metrics: Mapping[str, float],
    importance: Mapping[str, float],
    *,
    ablations: Sequence[Ablation],
    contributed: Contributions | None = None,
    pictures: Mapping[str, bytes],
    descriptions: Mapping[str, str],
) -> str:
    """The page as HTML; `pictures` are PNG files, embedded as data URIs, `descriptions` those of features."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    own = files(f"asof.use_cases.{trained.facts.use_case}") / MODEL_CARD  # purpose and limits
    template = Environment(
        loader=PackageLoader("training.models.evaluation.cards", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    ).get_template(trained.rules.card)
    return template.render(
        trained=trained,
        unregistered=UNREGISTERED,
        facts=trained.facts,
        summary=trained.use_case.estimator(trained.estimator).summary,
        metrics=metrics,
        target=trained.use_case.target,
        rules=trained.rules,
        metric_key=metric_key,
        rows=_rows(metrics, trained.rules.titles),
        constant=trained.rules.constant(trained.train_side.labels),
        importance=importance,
        importance_title=trained.rules.importance.title,
        ablations=ablations,
        contributed=contributed,
        means=contributed.mean_absolute if contributed else {},
        descriptions=descriptions,
        pictures={name: base64.b64encode(picture).decode() for name, picture in pictures.items()},
        about=own.read_text(encoding="utf-8") if own.is_file() else "",
    )


def with_version(card: str, version: str) -> str:
    """The card of a model that is registered now."""
    return card.replace(UNREGISTERED, f"<b>version {version}</b>")


def _rows(metrics: Mapping[str, float], titles: Mapping[str, str]) -> list[tuple[str, float, str]]:
    """Title, value and 95 % interval (or an empty text) of each metric that there is."""
    return [
        (
            title,
            metrics[name],
            f"{metrics[f'{name}_low']:.4f} to {metrics[f'{name}_high']:.4f}" if f"{name}_low" in metrics else "",
        )
        for name, title in titles.items()
        if name in metrics
    ]

"""A fitted model and its facts -> parameters, tags, metrics and artifacts of its MLflow run."""

import platform
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd

from asof.model_facts import ModelFacts
from asof.trust.trusted_types import TRUSTED_TYPES, import_skops
from training.models.fitting.image_packages import packages_not_in_image

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sklearn.base import BaseEstimator

LIBRARIES = ("scikit-learn", "skops", "numpy", "pandas")
"""What loading the model requires, in the versions that saved it."""
BOOSTERS = ("lightgbm", "xgboost", "catboost")
"""What fits a model where a use case imports it."""
DEFINITION_FILE = "training_set.sql"
SCHEMA_FILE = "feature_schema.json"

SHORT = 12
"""Characters of a digest in a tag."""


def record_run(client: "MlflowClient", run_id: str, facts: ModelFacts, *, model: "BaseEstimator") -> None:
    """Logs parameters (with every hyper-parameter that is a plain value), tags and feature_schema.json."""
    from mlflow.entities import Param, RunTag

    params = [Param(name, str(value)) for name, value in _params(facts, model).items()]
    for start in range(0, len(params), 100):  # MLflow's limit for one call
        client.log_batch(run_id, params=params[start : start + 100])
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in _tags(facts).items()])
    client.log_dict(run_id, facts.contract.to_dict(), SCHEMA_FILE)


def record_definition(client: "MlflowClient", run_id: str, definition: str) -> None:
    """Logs the SQL of the training set, from which the fingerprint can be computed again."""
    if definition:
        client.log_text(run_id, definition, DEFINITION_FILE)


def record_search(client: "MlflowClient", run_id: str, fitted: "BaseEstimator") -> None:
    """Logs the candidates of a search, their scores and the best one; nothing for a plain estimator.

    Parameters `search.scoring`, `search.folds` and `best.*`; the metric `best_cv_score`; `cv_mean` and `cv_std`, whose
    step is the candidate's row in candidates.csv.
    """
    from mlflow.entities import Metric, Param

    if not hasattr(fitted, "cv_results_"):
        return
    table = pd.DataFrame(fitted.cv_results_)[["params", "mean_test_score", "std_test_score", "rank_test_score"]]
    chosen = {f"best.{name}": value for name, value in fitted.best_params_.items()}
    search = {"search.scoring": fitted.scoring, "search.folds": fitted.n_splits_}
    now = int(time.time() * 1000)
    scores = [Metric("best_cv_score", float(fitted.best_score_), now, 0)]
    for step, (mean, deviation) in enumerate(zip(table["mean_test_score"], table["std_test_score"], strict=True)):
        scores += [Metric("cv_mean", float(mean), now, step), Metric("cv_std", float(deviation), now, step)]
    params = [Param(name, str(value)) for name, value in (search | chosen).items()]
    client.log_batch(run_id, metrics=scores, params=params)
    client.log_text(run_id, table.to_csv(index_label="step"), "candidates.csv")


def search_figures(fitted: "BaseEstimator") -> dict[str, float]:
    """The metrics of a search as MLflow gives them, each at its last step; empty for a plain estimator."""
    if not hasattr(fitted, "cv_results_"):
        return {}
    means, deviations = (fitted.cv_results_[name][-1] for name in ("mean_test_score", "std_test_score"))
    return {"best_cv_score": float(fitted.best_score_), "cv_mean": float(means), "cv_std": float(deviations)}


def record_model(model: "BaseEstimator", facts: ModelFacts, *, example: pd.DataFrame) -> str:
    """Logs the model to the active run and returns its URI; `example` is some rows of its input.

    skops saves it, and MLflow loads it back with our trusted types. The signature has two types, double and string.
    """
    import mlflow
    from mlflow.models import infer_signature

    others = packages_not_in_image(import_skops().dumps(model))
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        pyfunc_predict_fn=facts.output.method,
        signature=infer_signature(example, getattr(model, facts.output.method)(example)),
        input_example=example,
        pip_requirements=[f"{library}=={version(library)}" for library in (*LIBRARIES, *others)],
        metadata={"asof": facts.to_dict()},
    )
    return str(info.model_uri)


def _params(facts: ModelFacts, model: "BaseEstimator") -> dict[str, Any]:
    plain = (bool, int, float, str, type(None))
    return {
        "estimator": facts.estimator,
        "feature_service": facts.contract.feature_service,
        "derived": ", ".join(facts.derived),
        "as_of": facts.as_of.isoformat(),
        "known_at": facts.known_at.isoformat(),
        "random_state": facts.random_state,
        "sample": facts.sample,
        "held_out_share": facts.split.share,
        "held_out_seed": facts.split.seed,
        **{f"model.{name}": value for name, value in model.get_params().items() if isinstance(value, plain)},
    }


def short_digests(facts: ModelFacts) -> dict[str, str]:
    """The beginnings of its digests, for people; the model's own record has the whole ones."""
    digests = {"rows_digest": facts.rows_digest, "model_digest": facts.model_digest}
    return {name: digest[:SHORT] for name, digest in digests.items()}


def _tags(facts: ModelFacts) -> dict[str, str]:
    return {
        "git_commit": facts.git_commit,
        "git_dirty": str(facts.git_dirty).lower(),
        "fingerprint": facts.fingerprint[:SHORT],
        **short_digests(facts),
        "feature_service": facts.contract.feature_service,
        "use_case": facts.use_case,
        **environment(),
    }


def environment() -> dict[str, str]:
    """What may change a model of the same rows: library versions, the machine and its BLAS."""
    return {
        "version.python": platform.python_version(),
        **{f"version.{library}": version(library) for library in (*LIBRARIES, "scipy", "mlflow", "feast")},
        **{f"version.{name}": sys.modules[name].__version__ for name in BOOSTERS if name in sys.modules},
        "machine": f"{platform.system()} {platform.machine()}",
        "blas": _blas(),
    }


def _blas() -> str:
    """Each loaded BLAS with the processor architecture of its kernels, which decides the order of its sums."""
    from threadpoolctl import threadpool_info

    libraries = (each for each in threadpool_info() if each["user_api"] == "blas")
    names = {f"{each['internal_api']} {each['version']} {each.get('architecture', '')}".strip() for each in libraries}
    return ", ".join(sorted(names))

"""Prepares the fields of a World, and prints them as a line of JSON.

`python -m benchmarks.serving.setup.prepare FOLDER USERS VARIANT...`, called by `world.prepared`. The forest does not
pass the gate, so versions are bundled without having been in Production.
"""

import json
import random
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asof.inference.runtime import MODEL_ONNX
from asof.inference.served_model import MLFLOW_FOLDER
from asof.settings import Settings, export
from asof.use_cases import load
from benchmarks.offline.stages import materialise, simulate, snapshot, train_version
from benchmarks.serving.setup.world import (
    DEFAULT,
    FEATURE_SERVICES,
    FOREST,
    JOBLIB,
    OWN_STORE,
    STOCK_STORE,
    STREAMFLOW,
    WIDE_TABLE,
    model_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from training.release.bundling.bundle import Bundle
    from training.release.registry.versions import ModelVersion

REAL_USERS = 7_043
"""In the real extracts."""

ESTIMATORS = {FOREST: "seed-baseline", DEFAULT: "default"}
JOBS = {"forest-all": -1, "forest-one": 1}
CHECKED_USERS = 3
Frames = Mapping[str, "pd.DataFrame"]


def prepare(settings: Settings, folder: Path, users: int, variants: Sequence[str]) -> dict[str, Any]:
    """The fields of a World, but settings and folder."""
    from training.release.bundling.bundle import bundle

    extracts = _extracts(settings, folder, users)
    snapshot(settings, extracts, users)
    for store in (OWN_STORE, STOCK_STORE):
        materialise(settings.model_copy(update={"online_store": store}), extracts, users)
    versions = {model: train_version(settings, ESTIMATORS[model]) for model in dict.fromkeys(map(model_of, variants))}
    frames = _online_values(settings, versions)
    _write_wide_table(settings, frames[model_of(variants[-1])])
    fitted, expected = _fitted(settings, versions, frames)
    saved = {each: _saved(each, fitted[model_of(each)], frames[model_of(each)], folder) for each in variants}
    bundles = {model: bundle(settings, load("churn"), version) for model, version in versions.items()}
    return {
        "users": len(frames[FOREST]),
        "models": saved,
        "imported": {variant: _imported(variant, path) for variant, path in saved.items()},
        "bentos": {model: each.bento_tag for model, each in bundles.items()},
        "compiled": {model: path for model, each in bundles.items() if (path := _compiled(each))},
        "requests": _requests(frames, folder),
        "expected": expected,
    }


def _extracts(settings: Settings, folder: Path, users: int) -> Path:
    if not users and STREAMFLOW.is_dir():
        return STREAMFLOW
    simulate(settings, folder / "extracts", users or REAL_USERS)
    return folder / "extracts"


def _online_values(settings: Settings, versions: Mapping[str, "ModelVersion"]) -> Frames:
    """The models' input from the online store, by user, of the users that lack no feature."""
    from asof.features.feature_contract import model_frame
    from asof.features.feature_store import feature_store

    frames = {}
    with feature_store(settings) as store:
        rows = [{"user_id": user} for user in _users(settings)]
        for model, version in versions.items():
            service = store.get_feature_service(FEATURE_SERVICES[model])
            features = store.get_online_features(features=service, entity_rows=rows).to_df().set_index("user_id")
            frames[model] = model_frame(features, version.facts.contract)
    chosen = set.intersection(*(set(frame.dropna().index) for frame in frames.values()))
    order = random.Random(1).sample(sorted(chosen), len(chosen))
    return {model: frame.loc[order] for model, frame in frames.items()}


def _users(settings: Settings) -> list[str]:
    """Of the newest month."""
    import psycopg

    newest = "SELECT DISTINCT user_id FROM users WHERE as_of = (SELECT max(as_of) FROM users) ORDER BY user_id"
    with psycopg.connect(settings.conninfo()) as connection:
        return [user for (user,) in connection.execute(newest)]


def _write_wide_table(settings: Settings, frame: "pd.DataFrame") -> None:
    """One row for each user with all features as columns, for the peer that only reads it."""
    import psycopg
    from psycopg import sql

    kinds = ["text" if frame[name].dtype == object else "float8" for name in map(str, frame)]
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in zip(map(str, frame), kinds, strict=True)
    ]
    table = sql.Identifier(WIDE_TABLE)
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(
            sql.SQL("CREATE TABLE {} (user_id text PRIMARY KEY, {})").format(table, sql.SQL(", ").join(columns))
        )
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
            for row in frame.itertuples():
                copy.write_row(row)
        connection.execute(sql.SQL("ANALYZE {}").format(table))


def _fitted(
    settings: Settings, versions: Mapping[str, "ModelVersion"], frames: Frames
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The registered models, and the probabilities of each for the first rows."""
    from training.release.registry.versions import load_model

    fitted = {model: load_model(settings, version) for model, version in versions.items()}
    rows = {model: frames[model].head(CHECKED_USERS) for model in fitted}
    return fitted, {model: each.predict_proba(rows[model])[:, 1].tolist() for model, each in fitted.items()}


def _saved(variant: str, estimator: Any, rows: "pd.DataFrame", folder: Path) -> str:
    """MLflow's folder of the model, saved as in `training.models.fitting.run_record`; the forest with its n_jobs."""
    if variant in JOBS:
        estimator.set_params(forest__n_jobs=JOBS[variant])
    import joblib
    import mlflow
    from mlflow.models import infer_signature

    from asof.trust.trusted_types import TRUSTED_TYPES
    from training.models.fitting.run_record import LIBRARIES

    path, example = folder / "models" / variant, rows.head(CHECKED_USERS)
    mlflow.sklearn.save_model(
        estimator,
        str(path),
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        pyfunc_predict_fn="predict_proba",
        signature=infer_signature(example, estimator.predict_proba(example)),
        pip_requirements=list(LIBRARIES),
    )
    joblib.dump(estimator, path / JOBLIB)
    return str(path)


def _imported(variant: str, path: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's use of pathspec
        import bentoml

        return str(bentoml.mlflow.import_model(f"benchmark_{variant.replace('-', '_')}", path).tag)


def _compiled(bundle: "Bundle") -> str:
    """The file of the compiled model in the Bento; empty if the model did not compile."""
    import bentoml

    path = Path(bentoml.models.get(bundle.model_tag).path_of(MLFLOW_FOLDER)) / MODEL_ONNX
    return str(path) if path.is_file() else ""


def _requests(frames: Frames, folder: Path) -> dict[str, str]:
    """Files with the requests for the same users in each form."""
    users = list(frames[FOREST].index)
    forms: dict[str, list[Any]] = {
        "user": [{"user_id": user} for user in users],
        "users": [{"user_ids": [user]} for user in users],
        "feast": [{"feature_service": FEATURE_SERVICES[FOREST], "entities": {"user_id": [user]}} for user in users],
        **{model: [_split(frame, row) for row in frame.to_numpy().tolist()] for model, frame in frames.items()},
        **{
            f"v2-{model}": [_tensors(frame, row) for row in frame.to_numpy().tolist()]
            for model, frame in frames.items()
        },
    }
    files = {}
    for form, bodies in forms.items():
        path = folder / f"{form}.jsonl"
        path.write_text("\n".join(map(json.dumps, bodies)))
        files[form] = str(path)
    return files


def _split(frame: "pd.DataFrame", row: list[Any]) -> dict[str, Any]:
    """In the form that MLflow's server parses fastest."""
    return {"dataframe_split": {"columns": list(frame.columns), "data": [row]}}


def _tensors(frame: "pd.DataFrame", row: list[Any]) -> dict[str, Any]:
    """A frame of one row in the Open Inference Protocol, as MLServer reads it: one input a column."""
    inputs = [
        {
            "name": name,
            "datatype": "BYTES" if isinstance(value, str) else "FP64",
            "shape": [1],
            "data": [value],
            "parameters": {"content_type": "str" if isinstance(value, str) else "np"},
        }
        for name, value in zip(map(str, frame), row, strict=True)
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": inputs, "outputs": [{"name": "predict_proba"}]}


if __name__ == "__main__":
    settings = Settings()
    export(settings)
    print(json.dumps(prepare(settings, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))

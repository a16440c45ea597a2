"""For tests of the service: registered features, rows in the online store, a small registered model."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from asof.features.feature_contract import FeatureContract, model_frame
from asof.features.feature_store import feature_store, read_contract
from asof.inference.explanation.explainer import EXPLANATION
from asof.inference.runtime import MODEL_ONNX
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.targets import BinaryOutput
from asof.trust.golden_rows import GoldenRows
from training.models.compilation.compile import compile_model
from training.models.compilation.explanation.explain import explainer_of
from training.models.evaluation.seal import seal
from training.release.registry.versions import ModelVersion
from training.tracking.artifacts import log_file
from training.tracking.client import tracked_run

NOW = datetime(2026, 3, 31, tzinfo=UTC)
"""The service's clock in the tests."""

NAME = "streamflow_churn"
THRESHOLD = 0.4

USER: Mapping[str, Mapping[str, Any]] = {
    "users_fv": {"user_is_senior": False, "has_family": True, "has_dependents": False},
    "subs_profile_fv": {
        "months_active": 12,
        "monthly_fee": 70.35,
        "total_paid": 844.2,
        "paperless_billing": True,
        "contract_type": "Month-to-month",
        "plan_stream_tv": "yes",
        "plan_stream_movies": "no",
        "net_service": "Fiber optic",
    },
    "usage_agg_30d_fv": {
        "watch_hours_30d": 31.5,
        "avg_session_mins_7d": 42.0,
        "unique_devices_30d": 3,
        "skips_7d": 4,
        "rebuffer_events_7d": 1,
    },
    "payments_agg_90d_fv": {"failed_payments_90d": 1},
    "support_agg_90d_fv": {"support_tickets_90d": 2, "ticket_avg_resolution_hrs_90d": 12.5},
}
"""A user whose features are all good, by view."""

WITHOUT_INTERNET = {
    "subs_profile_fv": {
        **USER["subs_profile_fv"],
        "net_service": "No",
        "plan_stream_tv": "not applicable",
        "plan_stream_movies": "not applicable",
    }
}


SHARED = 6
"""Factor for timeouts on a machine that others use at the same time."""


LIMITS = httpx.Limits(keepalive_expiry=1)
"""A client drops an idle connection long before the service, which does so after 5 s, may close it under a request."""


class Intruder:
    """A type that is not trusted in model files."""


def write_users(settings: Settings, users: Mapping[str, Mapping[str, Mapping[str, Any]]], as_of: datetime) -> None:
    """Writes rows into the online store: for each user the views given, each with its feature values."""
    with feature_store(settings) as store:
        for view in USER:
            rows = [{"user_id": user, "as_of": as_of, **views[view]} for user, views in users.items() if view in views]
            if rows:
                store.write_to_online_store(view, pd.DataFrame(rows).assign(created_at=as_of))


def write_contract_users(settings: Settings, more: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Writes a user for each row of the serving contract, and more good ones."""
    strict, lenient = "usage_agg_30d_fv", ("support_agg_90d_fv", "payments_agg_90d_fv")
    untimely = {"old-usage": strict, "coming-usage": strict, "old-support": lenient[0], "coming-payments": lenient[1]}
    fresh = {
        "good": USER,
        "no-internet": {**USER, **WITHOUT_INTERNET},
        "null-fee": {**USER, "subs_profile_fv": {**USER["subs_profile_fv"], "monthly_fee": None}},
        "only-users": {"users_fv": USER["users_fv"]},
        **{user: {name: USER[name] for name in USER if name != view} for user, view in untimely.items()},
    }
    write_users(settings, {**fresh, **more}, NOW - timedelta(days=10))
    for kind, as_of in (("old", NOW - timedelta(days=60)), ("coming", NOW + timedelta(days=1))):
        rows = {user: {view: USER[view]} for user, view in untimely.items() if user.startswith(kind)}
        write_users(settings, rows, as_of)


def users_like(count: int, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """`count` good users with different numbers."""
    random = np.random.default_rng(seed)
    users = {}
    for number in range(count):
        views = {view: dict(values) for view, values in USER.items()}
        views["subs_profile_fv"] |= {
            "months_active": int(random.integers(1, 72)),
            "monthly_fee": random.uniform(18, 120),
        }
        views["usage_agg_30d_fv"] |= {"watch_hours_30d": random.uniform(0, 200)}
        users[f"{number:04d}-{seed:05d}"] = views
    return users


def flat(views: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A user's feature values by name."""
    return {name: value for values in views.values() for name, value in values.items()}


def registered_contract(settings: Settings, feature_service: str = "churn_v2") -> FeatureContract:
    """The contract as registered now."""
    with feature_store(settings) as store:
        return read_contract(store, store.get_feature_service(feature_service))


def facts_of(contract: FeatureContract) -> ModelFacts:
    """Facts of a made-up training run."""
    return ModelFacts(
        use_case="churn",
        estimator="small",
        contract=contract,
        threshold=THRESHOLD,
        as_of=datetime(2026, 2, 28, tzinfo=UTC),
        known_at=datetime(2026, 3, 30, tzinfo=UTC),
        fingerprint="f" * 64,
        rows_digest="d" * 64,
        random_state=7,
        git_commit="c" * 40,
        git_dirty=False,
    )


def fit_small_model(contract: FeatureContract, seed: int = 1, unknown: str = "ignore") -> Any:
    """A logistic regression on made-up users: fast, and different for different users.

    `unknown="error"` makes one that raises for a category that it was not trained on.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = model_frame(pd.DataFrame([flat(views) for views in users_like(200, seed).values()]), contract)
    encode = OneHotEncoder(handle_unknown=unknown, sparse_output=False)
    columns = ColumnTransformer([("categories", encode, contract.categories)], remainder="passthrough")
    return Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=5000))]).fit(
        rows, (rows["months_active"] < 30).astype(int)
    )


def register_small_model(
    settings: Settings, contract: FeatureContract, *, compiled: bool = True
) -> tuple[ModelVersion, Any]:
    """Logs and registers the small model; returns the version, not yet promoted, and the estimator."""
    estimator, facts = fit_small_model(contract), facts_of(contract)
    with tracked_run(settings, "serving-tests", "small") as (client, run_id):
        import mlflow

        logged = mlflow.sklearn.log_model(
            estimator,
            name="model",
            serialization_format="skops",
            pyfunc_predict_fn="predict_proba",
            pip_requirements=["scikit-learn"],
            metadata={"asof": facts.to_dict()},
        )
    rows = [flat(views) for views in users_like(20, seed=2).values()]
    frame = model_frame(pd.DataFrame(rows), contract)
    probabilities = estimator.predict_proba(frame)[:, 1]
    if compiled:
        graph = compile_model(estimator, frame, BinaryOutput(THRESHOLD))
        log_file(client, logged.model_uri, MODEL_ONNX, graph.content)
        log_file(client, logged.model_uri, EXPLANATION, explainer_of(estimator, frame, graph.runtime).to_bytes())
    seal(settings, logged.model_uri, run_id, GoldenRows(rows, probabilities.tolist()))
    version = mlflow.register_model(logged.model_uri, NAME).version
    return ModelVersion(NAME, str(version), run_id, facts, metrics={}), estimator


def bentoml_home(factory: pytest.TempPathFactory) -> Path:
    """One BentoML store for all tests of this process, because BentoML reads BENTOML_HOME once."""
    home = factory.getbasetemp() / "bentoml-of-this-process"
    home.mkdir(exist_ok=True)
    os.environ |= {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    return home


@contextlib.contextmanager
def serving(
    settings: Settings,
    tag: str,
    folder: Path,
    absent: Sequence[str] = ("mlflow", "prefect"),
    *,
    ready: bool = True,
    **variables: str,
) -> Iterator[httpx.Client]:
    """`bentoml serve TAG` in an empty folder, where neither the checkout nor the absent platforms can be imported.

    It is ready when the block begins, or (`ready=False`) alive.
    """
    for platform in absent:
        (folder / "poison" / platform).mkdir(parents=True)
        (folder / "poison" / platform / "__init__.py").write_text("raise ImportError('not in the image')")
    (folder / "empty").mkdir()
    own = {"PYTHONPATH": str(folder / "poison"), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    patient = {"ASOF_LOOKUP_TIMEOUT": "30"}  # where others use the machine, 1.5 s may pass without any fault
    environment = {**os.environ, **settings.environment(), **own, **patient, **variables}
    environment["BENTOML_HOME"] = str(_home_with_links(folder, Path(environment["BENTOML_HOME"])))
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder / "empty", env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=LIMITS) as client:
            probe = "/readyz" if ready else "/livez"
            eventually(lambda: client.get(probe).status_code == 200, 60, folder / "log")
            yield client
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30 * SHARED)


def _home_with_links(folder: Path, stores: Path) -> Path:
    """A BENTOML_HOME of the service's own: a service that starts empties the folder of metrics in its home."""
    home = folder / "bentoml-home"
    home.mkdir()
    for store in ("bentos", "models"):
        (stores / store).mkdir(parents=True, exist_ok=True)
        (home / store).symlink_to(stores / store)
    return home


def start_error(use_case: str, environment: Mapping[str, str]) -> str:
    """The message with which a service without a model ends before its workers start; empty where they would start."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's use of pathspec
        from asof.serving.app import Arguments, make_service

        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            make_service(Arguments(use_case=use_case)).inner.deploy()
        except SystemExit as ended:
            return str(ended)
    return ""


def eventually(holds: Callable[[], bool], seconds: float, log: Path) -> None:
    """Waits until `holds`; fails with the end of the log after `seconds` of a machine of one's own."""
    until = time.monotonic() + seconds * SHARED
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if holds():
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port

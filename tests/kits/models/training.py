"""Training sets for the tests of training: made-up users with a known signal, and the real January joined in pandas."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asof.features.feature_contract import Feature, FeatureContract
from asof.use_case import Estimator, UseCase
from asof.use_cases import load
from training.features.datasets.training_set import TrainingSet

CHURN = load("churn")
JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
KNOWN_AT = datetime(2024, 3, 1, tzinfo=UTC)

SMALL = FeatureContract(
    "small_v1",
    "user_id",
    (
        Feature("hours", "usage_fv", "Float64"),
        Feature("tickets", "support_fv", "Int64"),
        Feature("paperless", "subs_fv", "Bool"),
        Feature("plan", "subs_fv", "String"),
    ),
)
SMALLER = FeatureContract("small_v0", "user_id", SMALL.features[1:])
"""Without `hours`, which carries most of the signal."""


def made_up_set(rows: int = 800, *, contract: FeatureContract = SMALL, seed: int = 0) -> TrainingSet:
    """`rows` made-up users; few hours, many tickets and the monthly plan make them leave."""
    generator = np.random.default_rng(seed)
    values = {
        "hours": generator.gamma(2.0, 10.0, rows),
        "tickets": generator.poisson(1.0, rows),
        "paperless": generator.random(rows) < 0.6,
        "plan": generator.choice(["monthly", "yearly", "not applicable"], rows),
    }
    logit = 1.0 - 0.15 * values["hours"] + 0.6 * values["tickets"] + 1.2 * (values["plan"] == "monthly")
    frame = pd.DataFrame({"user_id": [f"user-{i:05}" for i in range(rows)]} | {n: values[n] for n in contract.names})
    return training_set(frame.assign(left=generator.random(rows) < 1 / (1 + np.exp(-logit))), contract, "left")


def set_of_any(contract: FeatureContract, rows: int = 400) -> TrainingSet:
    """Made-up users of any contract; the label follows the sum of the numbers."""
    generator = np.random.default_rng(0)
    kinds = {"Bool": lambda: generator.random(rows) < 0.5, "Int64": lambda: generator.poisson(3.0, rows)}
    kinds |= {"Float64": lambda: generator.gamma(2.0, 1.0, rows), "String": lambda: generator.choice(["a", "b"], rows)}
    values = pd.DataFrame({feature.name: kinds[feature.dtype]() for feature in contract.features})
    total = values[contract.numeric].astype(float).sum(axis="columns") + generator.normal(0, 1, rows)
    frame = values.assign(user_id=[f"user-{i:05}" for i in range(rows)], left=total > total.median())
    return training_set(frame, contract, "left")


def training_set(frame: pd.DataFrame, contract: FeatureContract, label: str) -> TrainingSet:
    """A TrainingSet of that frame, with a fingerprint of its own."""
    cells = frame.to_csv(index=False) + contract.digest
    digest = hashlib.sha256(cells.encode()).hexdigest()
    return TrainingSet(frame, contract, label, JANUARY, KNOWN_AT, f"set {digest}", digest, definition="SELECT 1")


def regression(contract: FeatureContract, random_state: int) -> Any:
    """A plain logistic regression on standardised numbers and one-hot categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts = [("numbers", StandardScaler(), contract.numeric), ("categories", OneHotEncoder(), contract.categories)]
    return Pipeline([("columns", ColumnTransformer(parts)), ("model", LogisticRegression(random_state=random_state))])


def constant(contract: FeatureContract, random_state: int) -> Any:
    """A model that gives everybody the base rate."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior", random_state=random_state)


def small_use_case(model_name: str, **estimators: Estimator) -> UseCase:
    """The churn use case under another name in the registry, with quick estimators on the made-up users."""
    quick: Mapping[str, Estimator] = {
        "default": Estimator("small_v1", regression, "a logistic regression"),
        "less": Estimator("small_v0", regression, "the same without the hours"),
        "constant": Estimator("small_v1", constant, "the base rate"),
    }
    return replace(CHURN, model_name=model_name, estimators={**quick, **estimators})


VIEWS = {
    "churn_v1": {
        "subs_profile_fv": (
            "months_active:Int64 monthly_fee:Float64 paperless_billing:Bool plan_stream_tv:String "
            "plan_stream_movies:String net_service:String"
        ),
        "usage_agg_30d_fv": (
            "watch_hours_30d:Float64 avg_session_mins_7d:Float64 unique_devices_30d:Int64 skips_7d:Int64 "
            "rebuffer_events_7d:Int64"
        ),
        "payments_agg_90d_fv": "failed_payments_90d:Int64",
        "support_agg_90d_fv": "support_tickets_90d:Int64 ticket_avg_resolution_hrs_90d:Float64",
    },
    "churn_v2": {
        "subs_profile_fv": (
            "months_active:Int64 monthly_fee:Float64 total_paid:Float64 paperless_billing:Bool contract_type:String "
            "plan_stream_tv:String plan_stream_movies:String net_service:String"
        ),
        "usage_agg_30d_fv": (
            "watch_hours_30d:Float64 unique_devices_30d:Int64 skips_7d:Int64 rebuffer_events_7d:Int64"
        ),
        "payments_agg_90d_fv": "failed_payments_90d:Int64",
        "support_agg_90d_fv": "support_tickets_90d:Int64",
        "users_fv": "user_is_senior:Bool has_family:Bool has_dependents:Bool",
    },
}
"""The feature services of feature_repo/streamflow_services.py, without Feast."""


def streamflow_contract(service: str) -> FeatureContract:
    """The contract of `churn_v1` or `churn_v2`."""
    fields = [(view, *field.split(":")) for view, names in VIEWS[service].items() for field in names.split()]
    return FeatureContract(service, "user_id", tuple(Feature(name, view, dtype) for view, name, dtype in fields))


def streamflow_set(folder: Path, service: str, *, labels: str = "month_000") -> TrainingSet:
    """The real January, joined in pandas instead of Feast, with the labels of a month of choice."""
    tables = [table.name for table in CHURN.extract.tables]
    frames = [pd.read_csv(folder / "month_000" / f"{name}.csv").set_index("user_id") for name in tables]
    joined = pd.concat([*frames, pd.read_csv(folder / labels / "labels.csv").set_index("user_id")], axis="columns")
    for plan in ("plan_stream_tv", "plan_stream_movies"):
        joined[plan] = joined[plan].map({True: "yes", False: "no"}).fillna("not applicable")
    contract = streamflow_contract(service)
    frame = joined[[*contract.names, "churn_label"]].sort_index().reset_index()
    return training_set(frame, contract, "churn_label")

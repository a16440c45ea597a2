"""The probability that a user leaves in the coming month.

    logit(p) = intercept + sum of coefficient * input + noise,   noise ~ Normal(0, NOISE), independent in each month

Every input but `hours_fallen` can be computed from the extract of the month; that one also needs the month before. The
noise is in no extract, so that even a perfect model does not know the true probability.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from asof.use_cases.churn.raw_schema import NO_INTERNET
from simulator.draws import Floats
from simulator.observation import Rows

NOISE = 0.5


@dataclass(frozen=True)
class Hazard:
    """A logistic hazard by month: log odds with all inputs zero, and the change for one unit of each input."""

    name: str
    intercept: float
    coefficients: Mapping[str, float]

    def logit(self, inputs: Mapping[str, Floats]) -> Floats:
        """The log odds without the noise, shape (rows,)."""
        # Not np.sum, whose order of additions depends on the number of rows.
        terms = (weight * inputs[name] for name, weight in self.coefficients.items())
        return np.asarray(sum(terms, start=self.intercept))


USUAL = Hazard(
    "usual",
    -1.0,
    {
        "one_year": -1.40,
        "two_year": -2.30,
        "log_months_active": -0.55,
        "fee": 0.10,
        "fibre": 0.40,
        "no_internet": -0.30,
        "failed_payments": 0.65,
        "tickets": 0.45,
        "rebuffers": 0.14,
        "watch_hours": -0.03,
        "hours_fallen": 0.10,
        "senior": 0.35,
        "family": -0.30,
        "dependents": -0.20,
        "paperless": 0.25,
    },
)
CHANGED = Hazard(
    "changed",
    -2.6,
    {
        "one_year": -0.20,
        "two_year": -0.50,
        "log_months_active": 0.10,
        "fee": 0.00,
        "fibre": -0.40,
        "no_internet": -1.00,
        "failed_payments": 0.00,
        "tickets": 0.10,
        "rebuffers": 0.10,
        "watch_hours": -0.12,
        "hours_fallen": 0.10,
        "senior": -0.60,
        "family": 1.50,
        "dependents": 0.80,
        "paperless": -0.30,
    },
)
"""After the change of concept: a competitor's offer attracts families, whatever their contract and age."""


def hours_fallen(now: Floats, before: Floats) -> Floats:
    """Decrease of watch hours since the month before, shape (rows,); 0 after an increase or without that month."""
    return np.round(np.nan_to_num(np.maximum(before - now, 0.0), nan=0.0), 2)


def hazard_inputs(rows: Rows, fallen: Floats) -> dict[str, Floats]:
    """The inputs by name, each of shape (rows,): flags as 0 and 1, the fee in tens above 65, watch hours above 30."""
    inputs = {
        "one_year": rows["contract_type"] == "One year",
        "two_year": rows["contract_type"] == "Two year",
        "log_months_active": np.log(rows["months_active"]),
        "fee": (rows["monthly_fee"] - 65) / 10,
        "fibre": rows["net_service"] == "Fiber optic",
        "no_internet": rows["net_service"] == NO_INTERNET,
        "failed_payments": rows["failed_payments_90d"],
        "tickets": rows["support_tickets_90d"],
        "rebuffers": rows["rebuffer_events_7d"],
        "watch_hours": rows["watch_hours_30d"] - 30,
        "hours_fallen": fallen,
        "senior": rows["user_is_senior"],
        "family": rows["has_family"],
        "dependents": rows["has_dependents"],
        "paperless": rows["paperless_billing"],
    }
    return {name: np.asarray(values, dtype=np.float64) for name, values in inputs.items()}

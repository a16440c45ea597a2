"""The use cases `returns` and `watching` beside the shipped ones: in this process, and their small data."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import asof.use_cases
from asof.features.feature_store import REPOSITORY
from simulator.plan import SimulationPlan
from simulator.simulation import simulate

KIT = Path(__file__).parent
MONTHS = ("month_000", "month_001")
KITS = ("returns", "watching")
READERS_OF_REPOSITORY = ("asof.features.feature_store", "training.features.materialisation.feature_registry")


def returns_installed(folder: Path) -> AbstractContextManager[None]:
    """For a block `asof.use_cases` has the kits and feature_repo/, a copy in `folder`, the Feast file of `returns`."""
    return installed(folder, "returns")


@contextmanager
def installed(folder: Path, name: str) -> Iterator[None]:
    """For a block `asof.use_cases` has the kits and feature_repo/, a copy in `folder`, the Feast file of one."""
    repository = shutil.copytree(REPOSITORY, folder / "feature_repo")
    shutil.copy2(KIT / f"{name}_features.py", repository)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asof.use_cases, "__path__", [*asof.use_cases.__path__, str(KIT)])
        for module in READERS_OF_REPOSITORY:
            patch.setattr(f"{module}.REPOSITORY", repository)
        yield
    forget_modules(repository)
    for name in [each for each in sys.modules if each.startswith(tuple(f"asof.use_cases.{kit}" for kit in KITS))]:
        del sys.modules[name]


def forget_modules(folder: Path) -> None:
    """Has what was imported from the folder imported again, from elsewhere."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{folder}/"):
            del sys.modules[name]


def customers(count: int, seed: int) -> dict[str, pd.DataFrame]:
    """The files of one month: expensive baskets on the phone are sent back."""
    random = np.random.default_rng(seed)
    frames = {
        "shop_customers": {"orders_90d": random.poisson(3, count), "city": random.choice(["Bonn", "Ulm"], count)},
        "shop_baskets": {
            "basket_value": random.uniform(5, 200, count).round(2),
            "channel": random.choice(["app", "web", "phone"], count, p=[0.5, 0.4, 0.1]),
        },
    }
    keys = pd.DataFrame({"customer_id": [f"c-{number:04}" for number in range(count)]})
    tables = {name: keys.assign(**columns) for name, columns in frames.items()}
    value, phone = tables["shop_baskets"]["basket_value"], tables["shop_baskets"]["channel"] == "phone"
    odds = value / 40 - 3 + 2 * phone
    returned = random.random(count) < 1 / (1 + np.exp(-odds))
    return {**tables, "shop_returns": keys.assign(returned=returned)}


def watchers(folder: Path, users: int) -> list[dict[str, pd.DataFrame]]:
    """The files of two simulated months, the first with the hours of the second as labels, and their levels."""
    simulate(SimulationPlan(date(2026, 2, 28), users=users, months=2), folder)
    months = [
        {
            name: pd.read_csv(folder / f"month_{number:03}" / f"{name}.csv")
            for name in ("subscriptions", "usage_agg_30d")
        }
        for number in (0, 1)
    ]
    next_hours = months[1]["usage_agg_30d"].set_index("user_id")["watch_hours_30d"]
    tables = [
        {
            "watch_users": month["subscriptions"][["user_id", "months_active", "net_service"]],
            "watch_usage": month["usage_agg_30d"][["user_id", "watch_hours_30d", "unique_devices_30d"]],
        }
        for month in months
    ]
    ids = tables[0]["watch_users"]["user_id"]
    labels = pd.DataFrame({"user_id": ids, "next_hours": ids.map(next_hours)}).dropna()
    levels = pd.cut(labels["next_hours"], [-1, 26, 34, 720], labels=["little", "some", "much"])
    tables[0]["watch_hours"] = labels
    tables[0]["watch_levels"] = labels[["user_id"]].assign(level=levels)
    return tables


def write_month(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    """A month's folder with these files."""
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    return folder

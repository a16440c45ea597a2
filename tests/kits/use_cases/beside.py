"""The use case `returns` beside the shipped ones: in this process, and its small data."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import asof.use_cases
from asof.features.feature_store import REPOSITORY

KIT = Path(__file__).parent
READERS_OF_REPOSITORY = ("asof.features.feature_store", "training.features.materialisation.feature_registry")


@contextmanager
def returns_installed(folder: Path) -> Iterator[None]:
    """For a block `asof.use_cases` has `returns` and feature_repo/, a copy in `folder`, its Feast file."""
    repository = shutil.copytree(REPOSITORY, folder / "feature_repo")
    shutil.copy2(KIT / "returns_features.py", repository)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asof.use_cases, "__path__", [*asof.use_cases.__path__, str(KIT)])
        for module in READERS_OF_REPOSITORY:
            patch.setattr(f"{module}.REPOSITORY", repository)
        yield
    forget_modules(repository)
    for name in [each for each in sys.modules if each.startswith("asof.use_cases.returns")]:
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


def write_month(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    """A month's folder with these files."""
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    return folder

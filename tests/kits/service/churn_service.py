"""One running service of the small model, for all modules that only ask it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from asof.settings import Settings
from tests.kits.machine.databases import fresh
from tests.kits.service import serving as kit
from tests.kits.service.small_model import Registered, SmallModel, copied

KEYS = [
    "CUST 0001",
    "José-1",
    "Doe, J",
    "EU/7590",
    "7" * 65,
    "é" * 500,
    "a//b",
    "/x/",
    "%2F",
    "x?y#z&a=b;c",
    "+",
    '"',
    "'",
    "\\",
    "שלום-1",
    "\u202eabc",
    "👩‍👩‍👧",
    "[red]x",
    "a\u2028b",
    "..",
    "a/../b",
    "Zoe\u0308",
]
"""Ids of users who exist."""
MANY = kit.users_like(1200, seed=3)
"""Users who exist, all good and different."""
TRUSTED_PROXY = "127.0.0.2"


@dataclass(frozen=True)
class ChurnService:
    """The service, its databases, its model, and the file of its log."""

    client: httpx.Client
    settings: Settings
    model: SmallModel
    log: Path


@pytest.fixture(scope="session")
def churn_service(
    server: Settings, mlflow_tables: str, registered_once: Registered, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChurnService]:
    """With one worker, the users of the serving contract, KEYS and MANY."""
    kit.bentoml_home(tmp_path_factory)
    folder, before = tmp_path_factory.mktemp("churn-service"), dict(os.environ)
    variables: Mapping[str, Any] = {
        "ASOF_CLOCK": kit.NOW.isoformat(),
        "ASOF_FEATURES_SECONDS": "0.5",
        "ASOF_LEDGER": "process",
        "ASOF_LEDGER_SPOOL": str(folder / "ledger"),
        "FORWARDED_ALLOW_IPS": TRUSTED_PROXY,
    }
    with fresh(server, tmp_path_factory.mktemp("home-of-churn-service"), mlflow_tables) as settings:
        model = copied(registered_once, settings)
        kit.write_contract_users(settings, {**dict.fromkeys(KEYS, kit.USER), **MANY})
        with kit.serving(settings, model.bundle.bento_tag, folder, **variables) as client:
            os.environ.clear()
            os.environ.update(before)
            own = settings.model_copy(update={"ledger_spool": folder / "ledger"})
            yield ChurnService(client, own, model, folder / "log")

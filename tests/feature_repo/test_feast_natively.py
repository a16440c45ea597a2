"""Feast's own commands, in feature_repo/, with only the environment that `make env` prints."""

import contextlib
import gc
import os
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import httpx
import pandas as pd
from click.testing import CliRunner
from feast.cli.cli import cli

from asof.features.feature_store import REPOSITORY, feature_store
from tests.kits.data.history import History
from tests.kits.machine.free_port import free_port
from tests.kits.service import serving as kit


def environment(history: History) -> dict[str, str]:
    return history.settings.environment() | {"PATH": "/usr/bin:/bin", "HOME": str(history.settings.home)}


def feast(history: History, *words: str) -> str:
    """A command in this process, since Feast takes seconds to import; test_bare_commands.py starts real ones."""
    with (
        patch.dict(os.environ, environment(history), clear=True),
        patch.object(sys, "path", [str(REPOSITORY), *sys.path]),
        contextlib.chdir(REPOSITORY),
        warnings.catch_warnings(action="ignore"),
    ):
        done = CliRunner().invoke(cli, words, catch_exceptions=False)
        gc.collect()  # Feast leaves connections open
    assert done.exit_code == 0, done.output
    return done.stdout


def test_apply_and_materialize_fill_the_online_store(history: History) -> None:
    feast(history, "apply")
    feast(history, "materialize", "2024-01-01T00:00:00", "2024-05-04T00:00:00")
    users = pd.read_csv(history.folder / "month_003" / "subscriptions.csv")[["user_id", "monthly_fee"]].head(20)
    with feature_store(history.settings) as store:
        service = store.get_feature_service("churn_v2")
        rows = store.get_online_features(service, users[["user_id"]].to_dict("records")).to_df()
    assert rows["monthly_fee"].tolist() == users["monthly_fee"].tolist()


def test_the_lists_of_feast_name_what_is_defined(history: History) -> None:
    assert {"churn_v1", "churn_v2"} <= set(feast(history, "feature-services", "list").split())
    assert "usage_agg_30d_fv" in feast(history, "feature-views", "list")


def test_the_user_interface_of_feast_opens(history: History) -> None:
    port = free_port(18888, "feast ui")
    command = [str(Path(sys.executable).with_name("feast")), "ui", "--port", str(port), "--host", "127.0.0.1"]
    log_file = history.settings.home / "feast_ui.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment(history),
            stdout=log,
            stderr=log,
        )
        try:
            kit.eventually(lambda: "<html" in httpx.get(f"http://127.0.0.1:{port}").text, 60, log_file)
        finally:
            process.terminate()
            process.wait(30)

"""Feast's own commands, in feature_repo/, with nothing but the environment that `make env` prints."""

import subprocess
import sys
import urllib.request
from pathlib import Path
from time import monotonic, sleep

import pandas as pd

from asof.features.feature_store import REPOSITORY, feature_store
from tests.kits.data.history import History
from tests.kits.machine.free_port import free_port


def feast(history: History, *words: str) -> str:
    command = [str(Path(sys.executable).with_name("feast")), *words]
    environment = history.settings.environment() | {"PATH": "/usr/bin:/bin", "HOME": str(history.settings.home)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
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
    with (history.settings.home / "feast_ui.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=history.settings.environment() | {"PATH": "/usr/bin:/bin", "HOME": str(history.settings.home)},
            stdout=log,
            stderr=log,
        )
        try:
            assert "<html" in _page(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(30)


def _page(address: str) -> str:
    deadline = monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address) as answer:
                return str(answer.read().decode())
        except OSError:
            if monotonic() > deadline:
                raise
            sleep(0.3)

"""A year of a served model: late rows each month, inputs that drift, a serving bug, and a concept that changes.

Every month its extract and the labels of the month before are loaded, all users are asked for, and monitoring and the
audit run; what they find is all that is acted on.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from asof.settings import Settings
from local.stack import stack
from local.stack.services import prediction_name
from simulator import SimulationPlan, simulate
from tests.kits.machine.prefect_database import copy_database
from tests.kits.machine.terminal import Done, start_flows
from tests.kits.service import serving as kit

pytestmark = pytest.mark.soak

DRIFT, CHANGE, BUG = 3, 6, 9
"""The months (0 is the first) of the drift, of the change of the concept, and of the serving bug."""
PLAN = SimulationPlan(
    last_as_of=date(2026, 10, 31),
    users=3000,
    months=12,
    late_share=0.03,
    drift=0.8,
    drift_month=DRIFT,
    concept_change_month=CHANGE,
)
MINUTES_FOR_HOURS = """
UPDATE online."asof.usage_agg_30d_fv" SET watch_hours_30d = 60 * watch_hours_30d WHERE user_id COLLATE "C" < '5'"""
OUTCOMES_OF_AN_AUDIT = (
    "same",
    "late-data",
    "store-behind",
    "future-value",
    "serving-bug",
    "unknown-value",
    "training-leak",
)


@dataclass
class Month:
    """What was found: by version and rule the alerts that are open, the version that answers, the audit's counts."""

    version: str
    open: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    retrained: list[dict[str, Any]] = field(default_factory=list)
    audit: dict[str, Any] = field(default_factory=dict)


@dataclass
class Year:
    """The stack, its extracts, and what was found in each month."""

    settings: Settings
    extracts: Path
    delivered: Path
    environment: dict[str, str]
    months: dict[int, Month] = field(default_factory=dict)

    def flows(self, *words: str, codes: tuple[int, ...] = (0,)) -> Done:
        done = start_flows(self.environment, *words)
        assert done.returncode in codes, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def deliver(self, month: int) -> None:
        """The month's extract, the labels of the month before, and that month's rows that were late."""
        for name in (f"month_{month:03}", f"labels_{month - 1:03}", f"month_{month - 1:03}_r1"):
            if (self.extracts / name).is_dir():
                shutil.copytree(self.extracts / name, self.delivered / name)
        self.flows("ingest", "churn", str(self.delivered), "--as-of", f"{PLAN.as_of(0)}")

    def users(self, month: int) -> list[str]:
        lines = (self.extracts / f"month_{month:03}" / "users.csv").read_text().splitlines()
        return [line.split(",")[0] for line in lines[1:]]

    @contextmanager
    def served(self, month: int) -> Iterator[httpx.Client]:
        """The service of `make up`, with the clock of the day after the month."""
        clock = datetime.combine(PLAN.as_of(month) + timedelta(days=1), datetime.min.time(), UTC)
        self.environment["ASOF_CLOCK"] = clock.isoformat()
        self.flows("up", "churn")
        (service,) = (each for each in stack.states(self.settings) if each.name == prediction_name("churn"))
        with httpx.Client(base_url=service.address, timeout=120) as client:
            yield client

    def ask_for_everybody(self, client: httpx.Client, month: int) -> str:
        """Asks for every user and waits until the answers are in the ledger; returns the version that answered."""
        before, users = self.answers(), self.users(month)
        answer = client.post("/predict/batch", json={"instances": [{"user_id": user} for user in users]})
        assert answer.status_code == 200, answer.text
        log = stack.run_folder(self.settings) / f"{prediction_name('churn')}.log"
        kit.eventually(lambda: self.answers() == before + len(users), 60, log)
        return str(answer.json()["model"]["version"])

    def answers(self) -> int:
        with psycopg.connect(self.settings.ledger_conninfo()) as connection:
            if connection.execute("SELECT to_regclass('ledger.predictions')").fetchone() == (None,):
                return 0
            ((count,),) = connection.execute("SELECT count(*) FROM ledger.predictions")
        return int(count)

    def look(self, month: Month) -> Month:
        """What monitoring and the audit of all users find; a retraining that is asked for is done."""
        found = json.loads(self.flows("monitor", "churn", "--retrain", "--json", codes=(0, 1)).stdout)
        month.open = {(each["version"], each["rule"]): each for each in found["alerts"]}
        month.retrained = found["retraining"]
        month.audit = json.loads(self.flows("audit", "churn", "--sample", "100%", "--json", codes=(0, 1)).stdout)
        return month


@pytest.fixture(scope="module")
def year(settings: Settings, prefect_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    folder = tmp_path_factory.mktemp("year")
    copy_database(prefect_database, settings)
    simulate(PLAN, folder / "extracts")
    ports = {name: kit.free_port() for name in ("port", "mlflow_port", "prefect_port", "console_port")}
    own = settings.model_copy(update=ports)
    environment = {
        **os.environ,
        **own.environment(),
        **{f"ASOF_{name.upper()}": str(port) for name, port in ports.items()},
        "BENTOML_HOME": str(folder / "bentoml"),
    }
    (folder / "delivered").mkdir()
    year = Year(own, folder / "extracts", folder / "delivered", environment)
    try:
        for month in range(PLAN.months):
            year.deliver(month)
            if month == 1:
                year.flows("retrain", "churn")
            if month >= 1:
                with year.served(month) as client:
                    if month == BUG:
                        with psycopg.connect(own.conninfo()) as connection:
                            connection.execute(MINUTES_FOR_HOURS)
                    year.months[month] = year.look(Month(year.ask_for_everybody(client, month)))
        yield year
    finally:
        stack.down(own)


def test_the_year(year: Year) -> None:
    for number, month in year.months.items():
        print(
            number,
            month.version,
            sorted(month.open),
            month.retrained,
            {k: v for k, v in month.audit.items() if k != "firsts"},
        )
    assert False

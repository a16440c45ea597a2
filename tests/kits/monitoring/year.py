"""A use case in operation, month by month, through the interfaces that people use: the terminal, the Bento, HTTP."""

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import httpx
import psycopg

from asof.settings import Settings
from monitoring.audit.reading.rows import EPOCH, SKEW
from simulator import SimulationPlan, simulate
from tests.kits.machine.terminal import call_flows
from tests.kits.service import serving
from tests.kits.service.ledger import shipped


@dataclass(frozen=True)
class Month:
    """What happened in a month: the JSON of its commands, and the versions that answered in it, in order."""

    as_of: datetime
    audit: Mapping[str, Any]
    monitor: Mapping[str, Any]
    versions: tuple[str, ...]

    def figures(self, subject: str) -> dict[str, Any]:
        """By metric and what it is about, of the newest window with them, of the version in Production."""
        chosen = [each for each in self.monitor["figures"] if each["subject"] == subject]
        newest = max((each["as_of"] for each in chosen), default=None)
        return {f"{each['metric']} {each['about']}".strip(): each for each in chosen if each["as_of"] == newest}

    @property
    def findings(self) -> dict[str, int]:
        """What the audit found, with the number of values."""
        found = {each["finding"]: each["values"] for each in self.audit["shares"] if each["values"]}
        return {name: values for name, values in found.items() if name != "same"}

    def alerts(self, state: str = "alerts", severity: str | None = None) -> set[str]:
        """The rules of the alerts that are open at its end, or (`closed`) were closed in it."""
        return {each["rule"] for each in self.monitor[state] if severity in (None, each["severity"])}


@dataclass
class Operation:
    """The simulated history of `plan`, of which every month is complete in time but those in `late`."""

    settings: Settings
    environment: Mapping[str, str]
    mlflow: str
    plan: SimulationPlan
    folder: Path
    late: tuple[int, ...]
    begun: dict[int, datetime] = field(default_factory=dict)
    month: int = 0
    bento: str = ""
    answers: int = 0
    answered: datetime = EPOCH

    def __post_init__(self) -> None:
        simulate(self.plan, self.folder / "extracts")

    def as_of(self, month: int) -> datetime:
        """The moment that its extract describes."""
        return datetime.combine(self.plan.as_of(month), time(), UTC)

    @property
    def clock(self) -> dict[str, str]:
        """What the services take as now: a day after the month's end."""
        return {"ASOF_CLOCK": (self.as_of(self.month) + timedelta(days=1)).isoformat()}

    def run(self, *words: str, fails: bool = False) -> dict[str, Any]:
        """A command of the terminal, and its result."""
        done = call_flows({**self.environment, **self.clock}, *words, "--json")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert done.returncode == 0 or (fails and "error" not in result), (words, result, done.stderr[-4000:])
        return result

    def prepare(self) -> None:
        """Loads month 0 with its labels; version 1 is trained on them, passes the gate, and is bundled."""
        self.ingest(0)
        self.ingest(1)
        assert self.run("retrain", "churn")["promotion"]["promoted"]
        self.bento = self.run("bundle", "churn")["bento_tag"]

    def ingest(self, month: int, *words: str) -> None:
        """What arrives at the end of a month: its extract, the labels of the month before, and late rows of that."""
        self.month, self.begun[month] = month, datetime.now(UTC)
        inbox, source = self.folder / f"inbox_{month:03}", self.folder / "extracts"
        before = f"{month - 1:03}"
        names = {f"month_{month:03}": f"month_{month:03}" if month in self.late else f"month_{month:03}_r1"}
        names |= {f"labels_{before}": f"labels_{before}"} if month else {}
        names |= {f"month_{before}_r1": f"month_{before}_r1"} if month - 1 in self.late else {}
        for name, delivered in names.items():
            shutil.copytree(source / delivered, inbox / name)
        if month - 1 in self.late:  # within the skew of clocks a row may have been known to an answer
            sleep(max((self.answered + SKEW - datetime.now(UTC)).total_seconds(), 0))
        self.run("ingest", "churn", str(inbox), "--as-of", str(self.plan.as_of(0)), *words)

    def live(self, planted: str = "") -> Month:
        """All users are asked about, and once more of a version that was promoted because of the first answers.

        `planted` is a statement on the online store.
        """
        folder = self.folder / f"service_{self.month:03}"
        with self.served(folder) as client:
            if planted:
                with psycopg.connect(self.settings.conninfo()) as connection:
                    connection.execute(planted.encode())
            versions = [self.answer(client)]
            audit, monitor = self.check()
            results = [each["result"] for each in monitor["retraining"]]
            for new in (each["version"] for each in results if each and each["promoted"]):
                serving.eventually(lambda new=new: client.get("/model").json()["version"] == new, 30, folder / "log")
                versions.append(self.answer(client))
        return Month(self.as_of(self.month), audit, monitor, tuple(versions))

    def check(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The audit of all answers of this month and the one before, and the monitor."""
        since = f"{self.begun[self.month - 1]:%Y-%m-%dT%H:%M:%S}"
        audit = self.run("audit", "churn", "--sample", "100%", "--since", since, fails=True)
        return audit, self.run("monitor", "churn", "--retrain", fails=True)

    def answer(self, client: httpx.Client) -> str:
        """Asks about all users of the month; the version that answers, once all of it is in the ledger."""
        users = self.users()
        answer = client.post("/predict/batch", json={"instances": [{"user_id": user} for user in users]})
        self.answered = datetime.now(UTC)
        assert {each["kept"] for each in answer.raise_for_status().json()["predictions"]} == {"process"}
        self.answers += len(users)
        shipped(self.settings, "SELECT 1 FROM ledger.predictions", self.answers)
        return str(answer.json()["model"]["version"])

    def users(self) -> list[str]:
        with (self.folder / "extracts" / f"month_{self.month:03}" / "users.csv").open(newline="") as file:
            return [row["user_id"] for row in csv.DictReader(file)]

    @contextmanager
    def served(self, folder: Path) -> Iterator[httpx.Client]:
        """The service of the month, which follows the registry."""
        folder.mkdir()
        variables = {
            **self.clock,
            "ASOF_FOLLOW": "production",
            "ASOF_FOLLOW_SECONDS": "0.2",
            "ASOF_REGISTRY_URL": self.mlflow,
            "ASOF_LEDGER": "process",
        }
        with serving.serving(self.settings, self.bento, folder, **variables) as client:
            yield client

"""Answers of the service about the users of a simulated history, to be audited; and what is done to them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.audit.audit import Audit, audit
from monitoring.audit.findings import Divergence, Finding
from monitoring.audit.rows import Tolerance
from monitoring.audit.sample import Span
from tests.kits.data.parity import Edit, deliver
from tests.kits.service.application import application
from tests.kits.service.ledger import ship
from training.release.registry.versions import ModelVersion

CLOCK = datetime(2024, 5, 10, tzinfo=UTC)
"""Of the services: ten days after the newest snapshot."""


@dataclass(frozen=True)
class Audited:
    """A use case with a version, in a database of its own."""

    settings: Settings
    use_case: UseCase
    version: ModelVersion
    users: Sequence[str] = ()

    def ask(self, *users: str, **more: Any) -> None:
        """Each user's answer goes to the ledger: singly, and all of them in a batch."""
        self.send([{"user_id": user, **more} for user in users or self.users])

    def send(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        kept = self.settings.model_copy(update={"ledger": "process"})

        async def main() -> None:
            async with application(kept, self.use_case, self.version) as client:
                for body in bodies:
                    response = await client.post("/predict", json=body)
                    assert response.headers["AsOf-Kept"] == "process"
                await client.post("/predict/batch", json={"instances": list(bodies)})

        asyncio.run(main())
        ship(self.settings, self.settings.ledger_folder)

    def audit(self, *, share: float = 1.0, lag: float = 60.0, **span: Any) -> Audit:
        """Of all answers up to now; rows may be missing online for `lag` minutes, and all clocks are this machine's."""
        now = datetime.now(UTC)
        chosen = Span(**{"since": now - timedelta(days=1), "until": now, "share": share} | span)
        return audit(self.settings, self.use_case, chosen, tolerance=Tolerance(timedelta(minutes=lag), timedelta(0)))

    def deliver(self, source: Path, folder: Path, as_of: datetime, **edits: Edit) -> None:
        """A month once more, with tables edited, as known from now on."""
        deliver(self.settings, source, folder, as_of, **edits)

    def execute(self, statement: str, *parameters: Any) -> int:
        with psycopg.connect(self.settings.conninfo(), autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters or None).rowcount

    def online_table(self, feature: str) -> str:
        """The online store's table with a feature."""
        query = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'online' AND column_name = %s"
        with psycopg.connect(self.settings.conninfo()) as connection:
            ((name,),) = connection.execute(query, [feature]).fetchall()
        return f'online."{name}"'


def found(done: Audit) -> dict[str, int]:
    """The findings that there are, with their values."""
    return {each.finding.value: each.values for each in done.shares if each.values and each.finding is not Finding.SAME}


def first(done: Audit, finding: Finding) -> Divergence:
    (own,) = (each for each in done.first if each.finding is finding)
    return own


Change = Callable[[Audited], None]

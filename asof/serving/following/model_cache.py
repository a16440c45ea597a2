"""What the workers of one service share: the models that they have fetched, and the versions that one has refused.

Files in a folder that only we can read. One worker at a time takes a new version over: it fetches, loads and proves it,
and the next finds the files there, or the refusal. What is written is written under another name and renamed. Where the
folder is kept (`asof.serving.following.shared_folder`), the next service finds all but the refusals.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from asof.files import try_lock, write_whole
from asof.serving.following.mlflow_registry import NUMBER, RUN, InProduction
from asof.serving.following.shared_folder import PRODUCTION

KEPT = 3
"""Models on the shelf; the one that came, or answered, the longest ago goes first."""

Form = TypeVar("Form", bound=BaseModel)


@dataclass(frozen=True)
class Refusal:
    """Which version was refused at which step (`trust`, `fetch`, `load`, `features`, `answers`), why and when."""

    version: str
    run_id: str
    step: str
    why: str
    at: datetime

    def is_of(self, version: str | None, run_id: str) -> bool:
        """Whether it is this version that was refused."""
        return (self.version, self.run_id) == (version, run_id)


@dataclass(frozen=True)
class Seen:
    """What is in Production, and the moment from which a worker has seen it there."""

    version: InProduction
    since: datetime


class _Version(BaseModel):
    """A version as it is written down; number and run become a folder's name."""

    version: str = Field(pattern=NUMBER)
    run_id: str = Field(pattern=RUN)
    source: str = ""

    @property
    def found(self) -> InProduction:
        return InProduction(self.version, self.run_id, self.source)


class _Seen(BaseModel):
    version: _Version
    since: AwareDatetime


class Shelf:
    """The shared folder. Its methods read and write small files, but for those of the models."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._models, self._refused = folder, folder / "models", folder / "refused"
        for each in (self._models, self._refused):
            each.mkdir(exist_ok=True)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """No other worker is in here at the same time; the lock of one that is killed is free again."""
        while not (lock := try_lock(self._folder / "lock")):
            await asyncio.sleep(0.05)
        with lock:
            yield

    def model(self, found: InProduction) -> Path:
        """Where the version's model is to be: there only when it is complete."""
        return self._models / _key(found.version, found.run_id)

    def draft(self) -> Path:
        """An empty folder to fetch into. Called alone: what a killed worker left half-way goes."""
        draft = self._folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        return draft

    def keep(self, draft: Path, found: InProduction) -> None:
        """The draft is the version's model from now on; the oldest models go. Called alone."""
        draft.rename(self.model(found))
        os.utime(self.model(found))
        for old in sorted(self._models.iterdir(), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old)

    def forget(self, found: InProduction) -> None:
        """The version's files go, so that they are fetched again. Called alone."""
        shutil.rmtree(self.model(found), ignore_errors=True)

    def refuse(self, refusal: Refusal) -> None:
        """Tells all workers. The version's files go, so that it can come back with others."""
        shutil.rmtree(self._models / _key(refusal.version, refusal.run_id), ignore_errors=True)
        number = f"{refusal.at.timestamp():.6f}-{os.getpid()}"
        write_whole(self._refused / f"{number}.json", json.dumps(asdict(refusal), default=datetime.isoformat))

    def refusals(self) -> list[Refusal]:
        """All of them, in the order of their making."""
        told = [json.loads(path.read_text()) for path in self._refused.glob("*.json")]
        read = [Refusal(**one | {"at": datetime.fromisoformat(one["at"])}) for one in told]
        return sorted(read, key=lambda refusal: refusal.at)

    def saw(self, found: InProduction) -> None:
        """Remembers what is in Production, and since when."""
        seen = self.seen()
        if seen is None or seen.version != found:
            told = {"version": asdict(found), "since": datetime.now(UTC).isoformat()}
            write_whole(self._folder / PRODUCTION, json.dumps(told))

    def seen(self) -> Seen | None:
        """What any of the workers last saw in Production, or None."""
        told = _read(self._folder / PRODUCTION, _Seen)
        return Seen(told.version.found, told.since) if told else None

    def serves(self, version: str, run_id: str) -> None:
        """Remembers which version answers now."""
        model = self._models / _key(version, run_id)
        if model.exists():
            os.utime(model)
        write_whole(self._folder / "served.json", json.dumps({"version": version, "run_id": run_id}))

    def served(self) -> InProduction | None:
        """The version that answered last, if its model is here."""
        told = _read(self._folder / "served.json", _Version)
        last = told.found if told else None
        return last if last and self.model(last).exists() else None

    def is_refused(self, found: InProduction) -> bool:
        """Whether the version was refused since it came into Production: another one in between makes it new again."""
        seen = self.seen()
        since = seen.since if seen and seen.version == found else datetime.now(UTC)
        return any(refusal.is_of(found.version, found.run_id) and refusal.at >= since for refusal in self.refusals())


def _key(version: str, run_id: str) -> str:
    return f"{version}-{run_id}"


def _read(path: Path, form: type[Form]) -> Form | None:
    """None where it is absent, was being written when the machine lost its power, or is not of our writing."""
    try:
        return form.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


@dataclass
class Found:
    """What this worker knows of the registry, for GET /model. `trouble` is empty while all is well."""

    trouble: str = ""
    checked_at: datetime | None = None
    in_production: InProduction | None = None
    refused: list[Refusal] = field(default_factory=list)

"""The folder that the workers of one service share: fetched models, and refused versions.

One worker at a time loads a new version; the next ones find its files, or its refusal. Files are replaced atomically.
If the folder is kept (`asof.serving.following.shared_folder`), the next service reuses all but the refusals.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, ValidationError

from asof.files import try_lock, write_whole
from asof.serving.following.mlflow_registry import ProductionVersion, VersionId
from asof.serving.following.shared_folder import PRODUCTION

MAX_MODELS = 3
"""Models in the cache; the one fetched or served least recently is removed first."""
SERVED = "served.json"

Record = TypeVar("Record", bound=BaseModel)


class Refusal(VersionId):
    """A version that failed at `step` (`trust`, `fetch`, `load`, `features`, `answers`)."""

    step: str
    why: str
    at: AwareDatetime


class SeenInProduction(BaseModel):
    """The production version, and the moment when a worker first saw it."""

    version: ProductionVersion
    since: AwareDatetime


@dataclass
class FollowState:
    """What this worker knows of the registry, for GET /model. `error` is empty while it can follow."""

    error: str = ""
    checked_at: datetime | None = None
    in_production: ProductionVersion | None = None
    refused: list[Refusal] = field(default_factory=list)


class ModelCache:
    """The shared folder. `draft`, `add` and `remove` require the lock."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._models, self._refused = folder, folder / "models", folder / "refused"
        for each in (self._models, self._refused):
            each.mkdir(exist_ok=True)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Excludes the other workers; the lock of a killed one is released."""
        while not (lock := try_lock(self._folder / "lock")):
            await asyncio.sleep(0.05)
        with lock:
            yield

    def model(self, version: VersionId) -> Path:
        """The folder of the version's model; it exists only when it is complete."""
        return self._models / version.key

    def draft(self) -> Path:
        """An empty folder to fetch into, in place of one that a killed worker left."""
        draft = self._folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        return draft

    def add(self, draft: Path, version: VersionId) -> None:
        """Makes the draft the version's model, and removes the oldest models."""
        draft.rename(self.model(version))
        os.utime(self.model(version))
        for old in sorted(self._models.iterdir(), key=lambda each: each.stat().st_mtime)[:-MAX_MODELS]:
            shutil.rmtree(old)

    def remove(self, version: VersionId) -> None:
        """Removes the version's model, so that it is fetched again."""
        shutil.rmtree(self.model(version), ignore_errors=True)

    def refuse(self, refusal: Refusal) -> None:
        """Records a refusal for all workers, and removes the version's model: it may return with other files."""
        self.remove(refusal)
        name = f"{refusal.at.timestamp():.6f}-{os.getpid()}.json"
        write_whole(self._refused / name, refusal.model_dump_json())

    def refusals(self) -> list[Refusal]:
        """All refusals, oldest first."""
        records = [Refusal.model_validate_json(path.read_bytes()) for path in self._refused.glob("*.json")]
        return sorted(records, key=lambda refusal: refusal.at)

    def is_refused(self, version: ProductionVersion) -> bool:
        """Whether it was refused since it became the production version; another one in between resets that."""
        seen = self.seen()
        since = seen.since if seen and seen.version == version else datetime.now(UTC)
        return any(refusal.key == version.key and refusal.at >= since for refusal in self.refusals())

    def record_seen(self, version: ProductionVersion) -> None:
        """Records the production version, and since when it is."""
        seen = self.seen()
        if seen is None or seen.version != version:
            seen = SeenInProduction(version=version, since=datetime.now(UTC))
            write_whole(self._folder / PRODUCTION, seen.model_dump_json())

    def seen(self) -> SeenInProduction | None:
        """The production version that any worker saw last, or None."""
        return _read(self._folder / PRODUCTION, SeenInProduction)

    def record_served(self, version: VersionId) -> None:
        """Records which version answers now."""
        if self.model(version).exists():
            os.utime(self.model(version))
        write_whole(self._folder / SERVED, version.model_dump_json(include={"version", "run_id"}))

    def served(self) -> ProductionVersion | None:
        """The version that answered last, if its model is here."""
        last = _read(self._folder / SERVED, ProductionVersion)
        return last if last and self.model(last).exists() else None


def _read(path: Path, kind: type[Record]) -> Record | None:
    """The file's record; None where it is absent, incomplete after a power failure, or of an unknown form."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None

"""MLflow's registry over HTTP -> which version is in Production, and its files, without MLflow.

Nothing that it answers is trusted: each answer has a time and a size that it may take, and a model's files are those
that its signed manifest lists, whatever else the server has.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import BaseModel, Field, ValidationError

from asof.bounded_http import IDENTITY, MAX_BYTES, CompressedResponse, require_identity
from asof.errors import ConfigurationError, RegistryUnavailable, UntrustedModel
from asof.trust.signed_manifest import MANIFEST, verify_envelope
from asof.trust.signing_keys import TrustedKeys

ALIAS = "production"
LOOK_SECONDS, FETCH_SECONDS = 5.0, 120.0
MOST_JSON = 1 << 18
"""Bytes of an answer in JSON: the worst that can stand in them holds the event loop up for 70 ms."""
CHUNK = 1 << 18
NUMBER, RUN = r"^[0-9]{1,18}$", r"^[0-9A-Za-z_-]{0,64}$"
"""What a version's number and its run may look like."""

Sink = Callable[[bytes], Awaitable[object]]


@dataclass(frozen=True)
class InProduction:
    """A version as the registry tells it: its number, its run, and where MLflow says that its model is."""

    version: str
    run_id: str
    source: str


class _Version(BaseModel):
    """The members of MLflow's ModelVersion that count here; number and run become a folder's name."""

    name: str
    version: str = Field(pattern=NUMBER)
    run_id: str = Field("", pattern=RUN)
    source: str = ""


class _Told(BaseModel):
    model_version: _Version


class _Info(BaseModel):
    run_id: str


class _Run(BaseModel):
    info: _Info


class _ToldRun(BaseModel):
    run: _Run


class _Refusal(BaseModel):
    error_code: str
    message: str = ""


class Registry:
    """One registered model at one server. The address may hold a password, which is never told.

    Raises ConfigurationError where it is none.
    """

    def __init__(self, address: str, name: str, keys: TrustedKeys) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each look says nothing
        url = _parsed(address)
        auth = (url.username, url.password) if url.userinfo else None
        bare = url.copy_with(username=None, password=None)
        self._client = httpx.AsyncClient(base_url=bare, auth=auth, headers=IDENTITY, timeout=LOOK_SECONDS)
        self._shown, self._name, self._keys = str(bare), name, keys

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def look(self) -> InProduction | None:
        """The version that the alias `production` names, or None. Raises RegistryUnavailable."""
        asked = {"name": self._name, "alias": ALIAS}
        async with self._within(LOOK_SECONDS):
            status, body = await self._read("/api/2.0/mlflow/registered-models/alias", asked, most=MOST_JSON)
        if _is_absent(status, body):
            return None
        try:
            told = _Told.model_validate_json(body).model_version
        except ValidationError:
            raise self._unavailable(f"answered {status} with what is no version of MLflow's") from None
        if status != 200 or told.name != self._name:
            raise self._unavailable(f"answered {status} for another model")
        return InProduction(told.version, told.run_id, told.source)

    async def has_run(self, run_id: str) -> bool:
        """Whether the run is one of this server's. Raises RegistryUnavailable."""
        async with self._within(LOOK_SECONDS):
            status, body = await self._read("/api/2.0/mlflow/runs/get", {"run_id": run_id}, most=MAX_BYTES)
        if _is_absent(status, body):
            return False
        try:
            told = _ToldRun.model_validate_json(body).run.info.run_id
        except ValidationError:
            raise self._unavailable(f"answered {status} with what is no run of MLflow's") from None
        if status != 200 or told != run_id:
            raise self._unavailable(f"answered {status} for another run")
        return True

    async def fetch(self, found: InProduction, folder: Path) -> None:
        """Writes the files of the version's manifest, and no others, into the empty folder.

        Raises UntrustedModel where no trusted key signed the manifest, where it is of another run, or where a file is
        absent or longer than it says; RegistryUnavailable where the server fails, which tells nothing of the version.
        """
        model = re.fullmatch(r"models:/(m-[0-9a-f]{32})", found.source)
        if model is None:
            raise UntrustedModel(f"The registry has {found.source!r} for it, which is no logged model: register again.")
        path = f"/ajax-api/2.0/mlflow/logged-models/{model[1]}/artifacts/files"
        async with self._within(FETCH_SECONDS):
            status, envelope = await self._read(path, {"artifact_file_path": MANIFEST}, most=MAX_BYTES)
            self._check(status, envelope, MANIFEST)
            manifest, _ = await asyncio.to_thread(verify_envelope, envelope, self._keys)
            if manifest.run_id != found.run_id:
                raise UntrustedModel(f"{MANIFEST} is of run {manifest.run_id}, not of run {found.run_id}.")
            for name, told in manifest.files.items():
                await self._save(path, name, folder / name, size=told.size)
        await asyncio.to_thread((folder / MANIFEST).write_bytes, envelope)

    async def _save(self, path: str, name: str, file: Path, *, size: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:

            async def write(chunk: bytes) -> None:
                await asyncio.to_thread(opened.write, chunk)

            status, length = await self._get(path, {"artifact_file_path": name}, sink=write, most=size)
        if status != 200:
            self._check(status, file.read_bytes()[:MAX_BYTES], name)
        if length > size:
            raise UntrustedModel(f"{name} is longer than the {size} bytes that were signed: train and register again.")

    async def _read(self, path: str, asked: Mapping[str, str], *, most: int) -> tuple[int, bytes]:
        """Status and body. A body that is too long is cut off, so that it cannot be read."""
        body = bytearray()

        async def keep(chunk: bytes) -> None:
            body.extend(chunk)

        status, _ = await self._get(path, asked, sink=keep, most=most)
        return status, bytes(body[:most])

    async def _get(self, path: str, asked: Mapping[str, str], *, sink: Sink, most: int) -> tuple[int, int]:
        """Hands the body on piece by piece; gives status and length, and stops after more than `most` bytes."""
        length = 0
        try:
            async with self._client.stream("GET", path, params=asked) as response:
                require_identity(response)
                async for chunk in response.aiter_raw(CHUNK):
                    length += len(chunk)
                    await sink(chunk)
                    if length > most:
                        break
        except CompressedResponse as packed:
            raise self._unavailable(f"is of no use: {packed}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unavailable(f"does not answer ({type(error).__name__})") from None
        return response.status_code, length

    def _check(self, status: int, body: bytes, name: str) -> None:
        if _is_absent(status, body):
            raise UntrustedModel(
                f"The registry has no {name} of it: nobody signed this model. Train and register again."
            )
        if status != 200:
            raise self._unavailable(f"answered {status} for {name}")

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise self._unavailable(f"did not answer within {seconds:g} s") from None

    def stranger(self, run_id: str) -> str:
        """A sentence for a model of another registry, and the next step."""
        return (
            f"The registry at {self._shown} has no run {run_id}: this model comes from another one. "
            "Promote a version of this registry, or set ASOF_REGISTRY_URL to the model's own."
        )

    def _unavailable(self, what: str) -> RegistryUnavailable:
        return RegistryUnavailable(f"The registry at {self._shown} {what}.")


def _parsed(address: str) -> httpx.URL:
    try:
        return httpx.URL(address)
    except httpx.InvalidURL:  # which quotes what it could not read, and that may be the password
        raise ConfigurationError(
            "ASOF_REGISTRY_URL must read http://user:password@host:port, with %2F for a / in the password."
        ) from None


def _is_absent(status: int, body: bytes) -> bool:
    """Whether MLflow itself says that there is no such model, alias or file: a proxy's 404 does not count."""
    if status not in (400, 404) or len(body) > MOST_JSON:
        return False
    try:
        refusal = _Refusal.model_validate_json(body)
    except ValidationError:
        return False
    alias = refusal.error_code == "INVALID_PARAMETER_VALUE" and f"alias {ALIAS} not found" in refusal.message
    return alias or refusal.error_code == "RESOURCE_DOES_NOT_EXIST"

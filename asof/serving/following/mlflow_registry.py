"""MLflow's model registry over HTTP, without MLflow: the production version, and its files.

The server is not trusted: each response is bounded in time and size, and only the files of the signed manifest are
fetched.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError

from asof.bounded_http import IDENTITY, MAX_BYTES, CompressedResponse, require_identity
from asof.errors import RegistryUnavailable, UntrustedModel
from asof.model_facts import Lineage
from asof.trust.signed_manifest import MANIFEST, verify_envelope
from asof.trust.signing_keys import TrustedKeys

ALIAS = "production"
POLL_TIMEOUT, FETCH_TIMEOUT = 5.0, 120.0
MAX_JSON_BYTES = 1 << 18
"""Parsing the worst JSON of this size blocks the event loop for 70 ms."""
CHUNK_BYTES = 1 << 18

Write = Callable[[bytes], Awaitable[object]]


class VersionId(BaseModel):
    """A registered version's number and run; valid as parts of a folder's name."""

    model_config = ConfigDict(frozen=True)

    version: str = Field(pattern=r"^[0-9]{1,18}$")
    run_id: str = Field("", pattern=r"^[0-9A-Za-z_-]{0,64}$")

    @property
    def key(self) -> str:
        return f"{self.version}-{self.run_id}"

    def matches(self, lineage: Lineage) -> bool:
        """Whether it is the version of this lineage."""
        return (self.version, self.run_id) == (lineage.version, lineage.run_id)


class ProductionVersion(VersionId):
    """A version, mostly that with the alias `production`; `source` is the location of its model (empty: not known)."""

    source: str = ""


class _ModelVersion(ProductionVersion):
    name: str


class _AliasResponse(BaseModel):
    model_version: _ModelVersion


class _SearchResponse(BaseModel):
    model_versions: list[_ModelVersion] = []


class _RunResponse(BaseModel):
    run_id: str = Field(validation_alias=AliasPath("run", "info", "run_id"))


class _ErrorResponse(BaseModel):
    error_code: str
    message: str = ""


class MlflowRegistry:
    """A registered model at a server. A password in the address is never logged."""

    def __init__(self, address: str, name: str, keys: TrustedKeys) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request
        url = httpx.URL(address)
        auth = (url.username, url.password) if url.userinfo else None
        bare = url.copy_with(username=None, password=None)
        self._client = httpx.AsyncClient(base_url=bare, auth=auth, headers=IDENTITY, timeout=POLL_TIMEOUT)
        self._address, self._name, self._keys = str(bare), name, keys

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def production_version(self) -> ProductionVersion | None:
        """The version that the alias `production` names, or None. Raises RegistryUnavailable."""
        return await self._version("registered-models/alias", alias=ALIAS)

    async def version(self, number: str) -> ProductionVersion | None:
        """The version with that number, or None. Raises RegistryUnavailable."""
        return await self._version("model-versions/get", version=number)

    async def newest_version(self) -> ProductionVersion | None:
        """The version with the greatest number, or None. Raises RegistryUnavailable."""
        query = {"filter": f"name='{self._name}'", "order_by": "version_number DESC", "max_results": "1"}
        async with self._timeout(POLL_TIMEOUT):
            status, body = await self._read("/api/2.0/mlflow/model-versions/search", query, max_bytes=MAX_JSON_BYTES)
        try:
            versions = _SearchResponse.model_validate_json(body).model_versions
        except ValidationError:
            raise self._unavailable(f"answered {status} with no valid model versions") from None
        if status != 200 or any(each.name != self._name for each in versions):
            raise self._unavailable(f"answered {status} for another model")
        return _bare(versions[0]) if versions else None

    async def _version(self, what: str, **query: str) -> ProductionVersion | None:
        """The version that a request for a single one gives."""
        query = {"name": self._name, **query}
        async with self._timeout(POLL_TIMEOUT):
            status, body = await self._read(f"/api/2.0/mlflow/{what}", query, max_bytes=MAX_JSON_BYTES)
        if _is_not_found(status, body):
            return None
        try:
            version = _AliasResponse.model_validate_json(body).model_version
        except ValidationError:
            raise self._unavailable(f"answered {status} with no valid model version") from None
        if status != 200 or version.name != self._name:
            raise self._unavailable(f"answered {status} for another model")
        return _bare(version)

    async def has_run(self, run_id: str) -> bool:
        """Whether the server has this run. Raises RegistryUnavailable."""
        async with self._timeout(POLL_TIMEOUT):
            status, body = await self._read("/api/2.0/mlflow/runs/get", {"run_id": run_id}, max_bytes=MAX_BYTES)
        if _is_not_found(status, body):
            return False
        try:
            answered = _RunResponse.model_validate_json(body).run_id
        except ValidationError:
            raise self._unavailable(f"answered {status} with no valid run") from None
        if status != 200 or answered != run_id:
            raise self._unavailable(f"answered {status} for another run")
        return True

    async def fetch(self, version: ProductionVersion, folder: Path) -> None:
        """Writes the files of the version's manifest, and no others, into the empty folder.

        Raises UntrustedModel where no trusted key signed the manifest, where it is of another run, or where a file is
        missing or longer than it says; RegistryUnavailable where the server fails.
        """
        model = re.fullmatch(r"models:/(m-[0-9a-f]{32})", version.source)
        if model is None:
            raise UntrustedModel(f"Its source {version.source!r} is not a logged model: register it again.")
        path = f"/ajax-api/2.0/mlflow/logged-models/{model[1]}/artifacts/files"
        async with self._timeout(FETCH_TIMEOUT):
            status, envelope = await self._read(path, {"artifact_file_path": MANIFEST}, max_bytes=MAX_BYTES)
            self._check(status, envelope, MANIFEST)
            manifest, _ = await asyncio.to_thread(verify_envelope, envelope, self._keys)
            if manifest.run_id != version.run_id:
                raise UntrustedModel(f"{MANIFEST} is of run {manifest.run_id}, not of run {version.run_id}.")
            for name, listed in manifest.files.items():
                await self._save(path, name, folder / name, size=listed.size)
        await asyncio.to_thread((folder / MANIFEST).write_bytes, envelope)

    async def _save(self, path: str, name: str, file: Path, *, size: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:

            async def write(chunk: bytes) -> None:
                await asyncio.to_thread(opened.write, chunk)

            status, length = await self._get(path, {"artifact_file_path": name}, write=write, max_bytes=size)
        if status != 200:
            self._check(status, file.read_bytes()[:MAX_BYTES], name)
        if length > size:
            raise UntrustedModel(f"{name} is longer than the {size} bytes that were signed: train and register again.")

    async def _read(self, path: str, query: Mapping[str, str], *, max_bytes: int) -> tuple[int, bytes]:
        """Status and body. A longer body is truncated, and so cannot be parsed."""
        body = bytearray()

        async def append(chunk: bytes) -> None:
            body.extend(chunk)

        status, _ = await self._get(path, query, write=append, max_bytes=max_bytes)
        return status, bytes(body[:max_bytes])

    async def _get(self, path: str, query: Mapping[str, str], *, write: Write, max_bytes: int) -> tuple[int, int]:
        """Writes the body in chunks, until it exceeds `max_bytes`; returns status and length."""
        length = 0
        try:
            async with self._client.stream("GET", path, params=query) as response:
                require_identity(response)
                async for chunk in response.aiter_raw(CHUNK_BYTES):
                    length += len(chunk)
                    await write(chunk)
                    if length > max_bytes:
                        break
        except CompressedResponse as error:
            raise self._unavailable(f"is unusable: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unavailable(f"does not answer ({type(error).__name__})") from None
        return response.status_code, length

    def _check(self, status: int, body: bytes, name: str) -> None:
        if _is_not_found(status, body):
            raise UntrustedModel(f"The registry has no {name} of it, so it is not signed. Train and register again.")
        if status != 200:
            raise self._unavailable(f"answered {status} for {name}")

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise self._unavailable(f"did not answer within {seconds:g} s") from None

    def foreign_model(self, run_id: str) -> str:
        """The message for a model of another registry."""
        return (
            f"The registry at {self._address} has no run {run_id}: this model is from another one. "
            "Promote a version of this registry, or set ASOF_REGISTRY_URL to the model's own."
        )

    def _unavailable(self, problem: str) -> RegistryUnavailable:
        return RegistryUnavailable(f"The registry at {self._address} {problem}.")


def _bare(version: _ModelVersion) -> ProductionVersion:
    return ProductionVersion(version=version.version, run_id=version.run_id, source=version.source)


def _is_not_found(status: int, body: bytes) -> bool:
    """Whether MLflow itself, and not a proxy, answers that there is no such model, alias, run or file."""
    if status not in (400, 404) or len(body) > MAX_JSON_BYTES:
        return False
    try:
        error = _ErrorResponse.model_validate_json(body)
    except ValidationError:
        return False
    no_alias = error.error_code == "INVALID_PARAMETER_VALUE" and f"alias {ALIAS} not found" in error.message
    return no_alias or error.error_code == "RESOURCE_DOES_NOT_EXIST"

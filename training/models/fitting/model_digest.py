"""A fitted model, or its skops file -> a SHA-256 of all that its predictions depend on.

The file's own hash differs for equal models: its entries have times, and names from Python's object ids. The digest is
of its schema as canonical JSON, with sorted keys, each array replaced by its type, its shape and the SHA-256 of its
values in C order. It leaves out:

    __id__               which equal parts are one object: Python shares texts and numbers by chance
    memory layout        a tree's nodes are records with gaps, whose bytes are arbitrary
    query counters       a KDTree or BallTree stores how often and how deep it was searched
    the order of a set   its texts are ordered by a hash that differs in each process
    versions, protocol   those of the writer, which `training.models.fitting.run_record` logs
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from asof.trust.trusted_types import import_skops

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

LEFT_OUT = {"__id__", "_sklearn_version", "_skops_version", "protocol"}
COUNTERS = slice(7, 11)
"""The indices of the query counters in the state of a KDTree or BallTree."""


def model_digest(model: "BaseEstimator") -> str:
    """64 hexadecimal digits, the same for every skops file of this model."""
    return file_digest(io.BytesIO(import_skops().dumps(model)))


def file_digest(file: Path | IO[bytes]) -> str:
    """The digest of a skops file, without loading the model."""
    with zipfile.ZipFile(file) as archive:
        schema = _canonical(json.loads(archive.read("schema.json")), archive)
    return hashlib.sha256(_text(schema).encode()).hexdigest()


def _canonical(part: Any, archive: zipfile.ZipFile) -> Any:
    """Without LEFT_OUT. `part` is a node of the schema, the named contents of one, a list, or a plain value."""
    if isinstance(part, list):
        return [_canonical(each, archive) for each in part]
    if not isinstance(part, dict):
        return part
    kept = {name: _canonical(value, archive) for name, value in part.items() if name not in LEFT_OUT}
    if isinstance(part.get("file"), str):  # an attribute of the name "file" has a node, not a text
        kept["file"] = _digests(archive.read(part["file"]))
    if part.get("__loader__") == "SetNode":
        kept["content"] = sorted(kept["content"], key=_text)
    if part.get("__class__") in ("KDTree", "BallTree"):
        del kept["content"]["content"][COUNTERS]
    return kept


def _digests(content: bytes) -> Any:
    """The digest of an array or of bytes; for a sparse matrix, which is an archive, that of each of its arrays."""
    if content.startswith(MAGIC_PREFIX):
        array = np.load(io.BytesIO(content), allow_pickle=False)
        return [str(array.dtype), list(array.shape), _values(array)]
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return hashlib.sha256(content).hexdigest()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: _digests(archive.read(name)) for name in archive.namelist()}


def _values(array: NDArray[Any]) -> Any:
    if array.dtype.names:
        return {name: _values(array[name]) for name in array.dtype.names}
    return hashlib.sha256(array.tobytes()).hexdigest()


def _text(part: Any) -> str:
    return json.dumps(part, sort_keys=True, separators=(",", ":"))

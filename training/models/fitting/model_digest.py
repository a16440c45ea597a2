"""A fitted model, or its skops file -> one SHA-256 over all that makes its predictions: equal where the models are.

The file's own bytes cannot tell: its entries bear times and are named by Python's object ids, or at random, and its
schema repeats these. The digest is that of the schema as canonical JSON, keys sorted, each array in it replaced by its
type, its shape and the SHA-256 of its values in C order. Left out is what says nothing of the model:

    __id__                 which equal parts are one object: Python shares texts and numbers as it pleases
    layout in memory       a tree's nodes are records with gaps, and after a copy anything may lie in these
    what queries counted   a KDTree or BallTree keeps how often it was asked, and how deep it looked
    the order of a set     texts in it are ordered by a hash that is another in each process
    versions, protocol     who wrote the file; what a new library changes in a model is seen in the model itself, and
                           `training.models.fitting.run_record` records the versions
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

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

LEFT_OUT = {"__id__", "_sklearn_version", "_skops_version", "protocol"}
COUNTERS = slice(7, 11)
"""The places of a KDTree's or BallTree's counters in its state."""


def model_digest(model: "ClassifierMixin") -> str:
    """64 hexadecimal digits, those of any skops file of this model."""
    import skops.io

    return file_digest(io.BytesIO(skops.io.dumps(model)))


def file_digest(file: Path | IO[bytes]) -> str:
    """The same of a skops file, of which nothing is built."""
    with zipfile.ZipFile(file) as archive:
        schema = _canonical(json.loads(archive.read("schema.json")), archive)
    return hashlib.sha256(_text(schema).encode()).hexdigest()


def _canonical(part: Any, archive: zipfile.ZipFile) -> Any:
    """A part of the schema: a node, the named contents of one, a list of them, or a plain value."""
    if isinstance(part, list):
        return [_canonical(each, archive) for each in part]
    if not isinstance(part, dict):
        return part
    kept = {name: _canonical(value, archive) for name, value in part.items() if name not in LEFT_OUT}
    if isinstance(part.get("file"), str):  # in the contents of a node the value of any name is a node
        kept["file"] = _digests(archive.read(part["file"]))
    if part.get("__loader__") == "SetNode":
        kept["content"] = sorted(kept["content"], key=_text)
    if part.get("__class__") in ("KDTree", "BallTree"):
        del kept["content"]["content"][COUNTERS]
    return kept


def _digests(content: bytes) -> Any:
    """The SHA-256 of an array or of bytes; of a sparse matrix, an archive again, that of each of its arrays."""
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

"""A signed folder of a model -> the same without the subject's rows among its golden rows and input examples.

It is signed again by the present key, so it stays loadable; what was erased is told by its run (`training_sets`).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asof.errors import UntrustedModel
from asof.settings import Settings
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from asof.trust.signed_manifest import MANIFEST, changed_files, sign_folder, verify_envelope
from asof.trust.signing_keys import signing_key, trusted_keys
from training.erasure.work import Work

Rows = Sequence[Mapping[str, Any]]
"""The subject's rows of a training set: features by name."""
EXAMPLES = {"input_example.json": (), "serving_input_example.json": ("dataframe_split",)}
"""MLflow's files with a few rows, and where in them the table is."""


def local_folders(work: Work) -> Iterator[tuple[str, Path]]:
    """The run and path of each signed folder below the home, in BentoML's store and in the service's cache."""
    settings = work.settings
    roots = [settings.bentoml_home, settings.follow_folder or settings.home / "following"]
    for root in dict.fromkeys(root.resolve() for root in roots if root.is_dir()):
        for path in sorted(root.rglob(MANIFEST)):
            try:
                manifest, _ = verify_envelope(path.read_bytes(), trusted_keys(settings))
            except UntrustedModel:  # no service would load it
                continue
            yield manifest.run_id, path.parent


def rows_in(folder: Path, rows: Rows) -> int:
    """How many of its golden rows and examples have the subject's values."""
    return sum(count for _, count, _ in _changes(folder, rows))


def reseal(settings: Settings, folder: Path, run_id: str, rows: Rows) -> dict[str, bytes]:
    """Removes the rows from the files, and signs the folder again; returns the files that changed.

    Only a folder whose other files are as they were signed: what somebody else has changed stays untrusted. The
    manifest is written last; interrupted before, the next call does so.
    """
    trusted = _others_are_signed(settings, folder)
    changed = {name: content for name, count, content in _changes(folder, rows) if count}
    for name, content in changed.items():
        replaced(folder / name, content)
    if trusted and (changed or changed_files(folder, trusted_keys(settings))):
        changed[MANIFEST] = sign_folder(folder, run_id, signing_key(settings))
        replaced(folder / MANIFEST, changed[MANIFEST])
    return changed


def _others_are_signed(settings: Settings, folder: Path) -> bool:
    try:
        return {*changed_files(folder, trusted_keys(settings))} <= {GOLDEN_ROWS, *EXAMPLES}
    except UntrustedModel:
        return False


def _changes(folder: Path, rows: Rows) -> Iterator[tuple[str, int, bytes]]:
    """For each file that may have rows: how many go, and its content without them."""
    if (path := folder / GOLDEN_ROWS).exists():
        golden = GoldenRows.from_json(path.read_bytes())
        keep = _kept(golden.rows, rows)
        left = replace(golden, **{name: [each[n] for n in keep] for name, each in vars(golden).items()})
        yield GOLDEN_ROWS, len(golden.rows) - len(keep), left.to_json()
    for name, inside in EXAMPLES.items():
        if (path := folder / name).exists():
            yield name, *_without(json.loads(path.read_bytes()), inside, rows)


def _without(content: Any, inside: Sequence[str], rows: Rows) -> tuple[int, bytes]:
    """How many rows of an example go, and the example without them."""
    table = content
    for name in inside:
        table = table.get(name, {})
    if not {"columns", "data"} <= table.keys():
        return 0, b""
    examples = [dict(zip(table["columns"], each, strict=True)) for each in table["data"]]
    keep = _kept(examples, rows)
    gone = len(examples) - len(keep)
    for name in ("data", "index"):
        if name in table:
            table[name] = [table[name][number] for number in keep]
    return gone, json.dumps(content).encode()


def _kept(examples: Rows, rows: Rows) -> list[int]:
    """The numbers of those to keep. Where all have the same values, one stays: they are those of others as well."""
    is_own = _own(rows)
    return [number for number, each in enumerate(examples) if not is_own(each)] or [*range(min(len(examples), 1))]


def _own(rows: Rows) -> Callable[[Mapping[str, Any]], bool]:
    def is_own(example: Mapping[str, Any]) -> bool:
        return any(all(row[name] == value for name, value in example.items() if name in row) for row in rows)

    return is_own


def replaced(path: Path, content: bytes) -> None:
    """Writes the file under another name and renames it, with the mode of the old one."""
    draft = path.with_name(f".{path.name}.erasing")
    draft.write_bytes(content)
    draft.chmod(path.stat().st_mode & 0o777)
    draft.replace(path)

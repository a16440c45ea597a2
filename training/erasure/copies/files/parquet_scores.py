"""Copies in folders of Parquet scores: those that scoring wrote from this home, and those that are named.

A part is rewritten without the subject's rows, and its metadata says how many there were, so that a complete run still
adds up. The plan of an unfinished run is deleted where it names the subject: that run is not resumed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as arrow
from pyarrow import parquet

from asof.files import rename_durably
from training.erasure.work import Copy, Work
from training.scoring.parquet import ERASED, MANIFEST, PLAN, RUN, TALLY, part_entry, remembered_folders


def erase(work: Work) -> Iterator[Copy]:
    """The rows of each folder. A folder that is gone has none."""
    folders = dict.fromkeys((*remembered_folders(work.settings), *(each.resolve() for each in work.scores)))
    for folder in folders:
        runs = sorted({part.parent for part in folder.glob("*/part-*.parquet")})
        yield Copy(str(folder), sum(_erase_run(work, run) for run in runs))


def _erase_run(work: Work, folder: Path) -> int:
    count, parts = 0, sorted(folder.glob("part-*.parquet"))
    for part in parts:
        rows = parquet.read_table(part)
        metadata = dict(rows.schema.metadata or {})
        run = json.loads(metadata.get(RUN, b"{}"))
        if run.get("use_case") != work.use_case.name or run["as_of"] > work.until.isoformat():
            return 0
        keep = [not work.subject.is_text(entity) for entity in rows["entity"].to_pylist()]
        gone = keep.count(False)
        if gone and work.apply:
            _rewrite(part, rows.filter(arrow.array(keep)), metadata, gone)
        count += gone
    if work.apply:
        _forget_plan(folder, work)
        _rewrite_manifest(folder, parts, work)
    return count


def _rewrite(part: Path, rows: arrow.Table, metadata: dict[bytes, bytes], gone: int) -> None:
    metadata[TALLY] = json.dumps(_without_last(json.loads(metadata[TALLY]))).encode()
    metadata[ERASED] = str(int(metadata.get(ERASED, b"0")) + gone).encode()
    draft = part.with_name(f".{part.name}")
    parquet.write_table(rows.replace_schema_metadata(metadata), draft, compression="zstd")
    rename_durably(draft, part)


def _forget_plan(folder: Path, work: Work) -> None:
    path = folder / PLAN
    if path.exists() and any(map(work.subject.is_text, json.loads(path.read_bytes())["cuts"])):
        path.unlink()


def _rewrite_manifest(folder: Path, parts: list[Path], work: Work) -> None:
    """Of a complete run: its parts have other digests."""
    path = folder / MANIFEST
    if not path.exists():
        return
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    entries, named = [part_entry(part) for part in parts], manifest["tally"].get("last") or ""
    if entries == manifest["parts"] and not work.subject.is_text(named):
        return
    manifest |= {"parts": entries, "tally": _without_last(manifest["tally"])}
    draft = path.with_name(f".{MANIFEST}")
    draft.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    rename_durably(draft, path)


def _without_last(tally: dict[str, Any]) -> dict[str, Any]:
    """Before there were ranges, a tally had the last entity that was scored."""
    return {name: value for name, value in tally.items() if name != "last"}

"""Copies in folders of Parquet scores: those that scoring wrote from this home, and those that are named.

A part is rewritten without the subject's rows, and its metadata says how many there were, so that an unfinished run
continues, and a complete one still adds up.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as arrow
from pyarrow import parquet

from asof.files import rename_durably
from training.erasure.work import Copy, Work
from training.scoring.parquet import ERASED, MANIFEST, RUN, TALLY, part_entry, remembered_folders


def erase(work: Work) -> Iterator[Copy]:
    """The rows of each folder. A folder that is gone has none."""
    folders = dict.fromkeys((*remembered_folders(work.settings), *(each.resolve() for each in work.scores)))
    for folder in folders:
        runs = sorted({part.parent for part in folder.glob("*/part-*.parquet")})
        yield Copy(str(folder), sum(_erase_run(work, run) for run in runs))


def _erase_run(work: Work, folder: Path) -> int:
    count, before = 0, None
    parts = sorted(folder.glob("part-*.parquet"))
    for part in parts:
        rows = parquet.read_table(part)
        metadata = dict(rows.schema.metadata or {})
        run = json.loads(metadata.get(RUN, b"{}"))
        if run.get("use_case") != work.use_case.name or run["as_of"] > work.until.isoformat():
            return 0
        keep = [not work.subject.is_text(entity) for entity in rows["entity"].to_pylist()]
        gone = keep.count(False)
        if gone and work.apply:
            rows = rows.filter(arrow.array(keep))
            _rewrite(part, rows, metadata, gone, before)
        before = rows["entity"][-1].as_py() if rows.num_rows else before
        count += gone
    if work.apply:
        _rewrite_manifest(folder, parts, work, before)
    return count


def _rewrite(part: Path, rows: arrow.Table, metadata: dict[bytes, bytes], gone: int, before: str | None) -> None:
    tally: dict[str, Any] = json.loads(metadata[TALLY])
    tally["last"] = rows["entity"][-1].as_py() if rows.num_rows else before
    metadata[TALLY] = json.dumps(tally).encode()
    metadata[ERASED] = str(int(metadata.get(ERASED, b"0")) + gone).encode()
    draft = part.with_name(f".{part.name}")
    parquet.write_table(rows.replace_schema_metadata(metadata), draft, compression="zstd")
    rename_durably(draft, part)


def _rewrite_manifest(folder: Path, parts: list[Path], work: Work, last: str | None) -> None:
    """Of a complete run: its parts have other digests, and its last user may be the subject."""
    path = folder / MANIFEST
    if not path.exists():
        return
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    entries = [part_entry(part) for part in parts]
    ends_here = work.subject.is_text(manifest["tally"]["last"] or "")
    if entries == manifest["parts"] and not ends_here:
        return
    manifest["parts"] = entries
    if ends_here:
        manifest["tally"]["last"] = last
    draft = path.with_name(f".{MANIFEST}")
    draft.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    rename_durably(draft, path)

"""Deletes files that no service uses from a virtual environment: `python trim.py /app/.venv`, in the image's build.

No package is removed: `pip freeze` prints the same before and after.
"""

import shutil
import sys
from pathlib import Path

UNUSED = (
    "**/tests",
    "**/*.pyi",  # types, for editors
    "**/*.pxd",  # sources, for compiling against them
    "**/*.pyx",
    "**/*.h",
    "**/*.hpp",
    "**/*.a",
    "pyarrow/include",
    "pyarrow/src",
    "pyarrow/*flight*",  # Arrow over gRPC
    "feast/ui",
    "onnxruntime/quantization",  # tools that prepare models
    "onnxruntime/tools",
    "onnxruntime/transformers",
)
"""Patterns below site-packages."""


def trim(packages: Path) -> int:
    """Deletes unused files; returns their size in bytes."""
    found = {path for pattern in UNUSED for path in packages.glob(pattern)}
    return sum(_delete(path) for path in sorted(found, reverse=True))


def _delete(path: Path) -> int:
    """Deletes a file or folder; returns its size in bytes. Files come before their folder, so none is counted twice."""
    if not path.is_dir():
        size = path.stat().st_size
        path.unlink()
        return size
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    shutil.rmtree(path)
    return size


if __name__ == "__main__":
    for folder in Path(sys.argv[1]).glob("lib/python3*/site-packages"):
        print(f"Deleted {trim(folder) / 1e6:.0f} MB of files that no service uses.")

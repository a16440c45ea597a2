"""A virtual environment -> the same without what no service opens: `python trim.py /app/.venv`, in the image's build.

Only files go, no package does: `pip freeze` says the same before and after.
"""

import shutil
import sys
from pathlib import Path

UNUSED = (
    "**/tests",
    "**/*.pyi",  # types, for editors
    "**/*.pxd",  # sources, for whoever compiles against them
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
    """Deletes what is unused, and returns how many bytes that were."""
    found = {path for pattern in UNUSED for path in packages.glob(pattern)}
    return sum(_delete(path) for path in sorted(found, reverse=True))


def _delete(path: Path) -> int:
    """Files inside of a folder come before it, so nothing is counted twice."""
    if not path.is_dir():
        size = path.stat().st_size
        path.unlink()
        return size
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    shutil.rmtree(path)
    return size


if __name__ == "__main__":
    for folder in Path(sys.argv[1]).glob("lib/python3*/site-packages"):
        print(f"Deleted {trim(folder) / 1e6:.0f} MB that no service opens.")

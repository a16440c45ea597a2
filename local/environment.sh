#!/bin/sh
# LOCK FOLDER: a virtual environment in FOLDER with the packages of LOCK and nothing else, pip included.
set -eu

if uv --version >/dev/null 2>&1; then
    uv venv --quiet --clear --python .venv/bin/python "$2"
    uv pip sync --quiet --require-hashes --python "$2/bin/python" "$1"
else
    .venv/bin/python -m venv --clear --without-pip "$2"
    .venv/bin/python -m pip --python "$2/bin/python" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$1"
fi

#!/bin/sh
# pyproject.toml in, requirements/dev.txt and serve.txt out: hashes for every platform, and the address of no registry.
set -eu

uv=uv
if ! uv --version >/dev/null 2>&1; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    python3 -m venv "$scratch"
    "$scratch/bin/pip" install --quiet --disable-pip-version-check uv
    uv=$scratch/bin/uv
fi

lock() {
    "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"
}

lock --extra dev -o requirements/dev.txt
# Feast wants these too, but imports Dask only for its own offline store on files, and mypy never: 80 MB less in the image.
unused="dask locket partd toolz ast-serialize librt mypy mypy-extensions types-greenlet"
# shellcheck disable=SC2086
lock -c requirements/dev.txt $(printf -- '--no-emit-package %s ' $unused) -o requirements/serve.txt

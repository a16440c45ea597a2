#!/bin/sh
# requirements/audit.txt in, .venv-audit out: the tools of `make sbom` and `make audit`.
set -eu

if uv --version >/dev/null 2>&1; then
    uv venv --quiet --clear --python .venv/bin/python .venv-audit
    uv pip sync --quiet --require-hashes --python .venv-audit/bin/python requirements/audit.txt
else
    .venv/bin/python -m venv --clear .venv-audit
    .venv-audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.txt
fi

#!/bin/sh
# pyproject.toml in, the locks of requirements/ out: hashes for every platform, and the address of no registry.
set -eu

uv=uv
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if ! uv --version >/dev/null 2>&1; then
    python3 -m venv "$scratch"
    "$scratch/bin/pip" install --quiet --disable-pip-version-check uv
    uv=$scratch/bin/uv
fi

lock() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"
}

lock pyproject.toml --extra dev -o requirements/dev.txt
# Feast wants these too, but imports Dask only for its own offline store on files, and mypy never: 80 MB less in the image.
unused="dask locket partd toolz ast-serialize librt mypy mypy-extensions types-greenlet"
# shellcheck disable=SC2086
lock pyproject.toml -c requirements/dev.txt $(printf -- '--no-emit-package %s ' $unused) -o requirements/serve.txt
lock pyproject.toml --extra flows -c requirements/dev.txt -o requirements/flows.txt
# What training with other libraries needs besides.
flows=$(sed -n 's/^\([a-z0-9.-]*\)==.*/--no-emit-package \1/p' requirements/flows.txt)
# shellcheck disable=SC2086
lock pyproject.toml --extra flows --extra lightgbm --extra xgboost -c requirements/dev.txt $flows -o requirements/boosters.txt
# shellcheck disable=SC2086
lock pyproject.toml --extra flows --extra catboost -c requirements/dev.txt $flows -o requirements/catboost.txt
# The engine of several machines.
# shellcheck disable=SC2086
lock pyproject.toml --extra flows --extra ray -c requirements/dev.txt $flows -o requirements/ray.txt
# Training sets from Parquet files.
# shellcheck disable=SC2086
lock pyproject.toml --extra flows --extra lake -c requirements/dev.txt $flows -o requirements/lake.txt
for lock in boosters catboost lake ray; do # without the long list of what is left out
    sed '/^$/,$d' "requirements/$lock.txt" >"$scratch/lock" && cat "$scratch/lock" >"requirements/$lock.txt"
done
lock --group pyproject.toml:mlflow -c requirements/dev.txt -o requirements/mlflow.txt
lock --group pyproject.toml:build -c requirements/dev.txt -o requirements/build.txt
lock --group pyproject.toml:audit -o requirements/audit.txt
lock --group pyproject.toml:docs -o requirements/docs.txt
# Of the AWS CDK's wheel only the archive with helm is used, so nothing that it imports.
unused="aws-cdk-asset-awscli-v1 aws-cdk-asset-node-proxy-agent-v6 aws-cdk-cloud-assembly-schema aws-cdk-lib cattrs constructs jsii
    publication python-dateutil typeguard tzdata"
# shellcheck disable=SC2086
lock --group pyproject.toml:kubernetes $(printf -- '--no-emit-package %s ' $unused) -o requirements/kubernetes.txt

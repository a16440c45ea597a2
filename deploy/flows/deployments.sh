#!/bin/sh
# Creates the work pool and prefect.yaml's deployments on the Prefect server of PREFECT_API_URL; idempotent.
set -eu
prefect work-pool inspect asof >/dev/null 2>&1 || prefect work-pool create asof --type process
prefect --no-prompt deploy --all

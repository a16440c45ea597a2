#!/bin/sh
# The work pool and prefect.yaml's deployments at the Prefect server of PREFECT_API_URL; may be repeated.
set -eu
prefect work-pool inspect asof >/dev/null 2>&1 || prefect work-pool create asof --type process
prefect --no-prompt deploy --all

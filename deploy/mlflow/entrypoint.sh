#!/bin/sh
# Starts MLflow's server with basic auth. The database URL contains a password, so it is passed by the environment and by
# a private file, never as an argument.
set -eu
: "${MLFLOW_BACKEND_STORE_URI:?}" "${MLFLOW_AUTH_ADMIN_PASSWORD:?}" "${MLFLOW_FLASK_SERVER_SECRET_KEY:?}"

export MLFLOW_AUTH_CONFIG_PATH=/tmp/basic_auth.ini
umask 077
cat > "$MLFLOW_AUTH_CONFIG_PATH" <<INI
[mlflow]
default_permission = READ
database_uri = $MLFLOW_BACKEND_STORE_URI
admin_username = admin
authorization_function = readers:authorise
auth_cache_ttl_seconds = 60
INI

# One worker, as each has its own password cache and a new password must be valid at once. No job processes.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_BASIC_AUTH_FAIL_CLOSED=true
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers 1 \
    --serve-artifacts --artifacts-destination /var/lib/mlflow \
    --allowed-hosts "${MLFLOW_ALLOWED_HOSTS:-mlflow:5000,localhost:*,127.0.0.1:*}"

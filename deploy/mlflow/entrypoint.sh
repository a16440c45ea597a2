#!/bin/sh
# Variables in, MLflow's server with basic auth out. The address of the database holds a password: it goes by the
# environment and by a file that only we can read, never by an argument.
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

# One worker: it alone keeps the cache of passwords, so that a new one counts at once. No helper processes for jobs.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_BASIC_AUTH_FAIL_CLOSED=true
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers 1 \
    --serve-artifacts --artifacts-destination /var/lib/mlflow \
    --allowed-hosts "${MLFLOW_ALLOWED_HOSTS:-mlflow:5000,localhost:*,127.0.0.1:*}"

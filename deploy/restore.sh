#!/bin/sh
# Restores PostgreSQL, the ledger's files and MLflow's artefacts from a folder of deploy/backup.sh into an empty stack.
#   sh deploy/restore.sh FOLDER     COMPOSE='docker-compose -p name' ENV_FILE=.env KEYS=.keys
#
# Roles and grants are not in the backup: `python -m flows databases` creates them, before and after. Then `up -d`.
# Users who were erased since the backup are erased again, by the tombstones in ERASURES=FILE, or in erasures.jsonl
# beside the folder.
set -eu
[ $# = 1 ] || { echo "usage: sh deploy/restore.sh FOLDER" >&2; exit 2; }
cd "$(dirname "$0")/.."
compose=${COMPOSE:-docker-compose} env=${ENV_FILE:-.env} keys=${KEYS:-.keys}
fail() { echo "restore: $*" >&2; exit 1; }
postgres() { # runs a command as the superuser
    # shellcheck disable=SC2016
    $compose exec -T postgres sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec "$@"' sh "$@"
}

(cd "$1" && sha256sum --quiet -c SHA256SUMS) || fail "the checksums of $1 do not match: nothing was changed."
if [ ! -e "$env" ]; then
    (umask 077 && cp "$1/env" "$env")
fi
for name in SIGNING_KEY_TEXT TRUSTED_KEYS MLFLOW_ADMIN_PASSWORD; do # the databases depend on these
    [ "$(grep "^$name=" "$env")" = "$(grep "^$name=" "$1/env")" ] || fail "$name in $env differs from the backup: copy it from $1/env."
done
if [ -f "$1/api-keys" ] && [ ! -e "$keys/api-keys" ]; then
    mkdir -p "$keys" && cp "$1/api-keys" "$keys/api-keys" && chmod 644 "$keys/api-keys"
fi

$compose up -d postgres
$compose run --rm -T databases > /dev/null
for check in "asof public.loads" "mlflow pg_class WHERE relname = 'experiments'" "prefect pg_class WHERE relname = 'flow'"; do
    found=$(postgres psql -U postgres -Atc "SELECT count(*) FROM ${check#* }" "${check%% *}")
    [ "$found" = 0 ] || fail "database ${check%% *} is in use: restore into an empty stack (docker-compose down --volumes)."
done
for database in asof mlflow prefect; do
    echo "restore: database $database"
    postgres pg_restore -U postgres --clean --create --exit-on-error -d postgres < "$1/$database.dump"
done
$compose run --rm -T databases > /dev/null
echo "restore: MLflow's artefacts"
$compose run --rm -T --no-deps --entrypoint tar mlflow -C /var/lib/mlflow -x < "$1/artefacts.tar"
[ ! -f "$1/spool.tar" ] || { # a backup of before the ledger has none
    echo "restore: the ledger's files"
    $compose run --rm -T --no-deps --entrypoint tar shipper -C /var/spool/asof -x < "$1/spool.tar"
    $compose run --rm -T --no-deps --entrypoint tar ledger-keep -C /var/lib/archive -x < "$1/archive.tar"
}
tombstones=${ERASURES:-$(dirname "$1")/erasures.jsonl}
[ -f "$tombstones" ] || tombstones=/dev/null
echo "restore: erasing again what tombstones cover"
$compose run --rm -T erasure --again --tombstones /dev/stdin < "$tombstones" ||
    fail "the data is restored, and some of it was erased before: run \`$compose run --rm -T erasure --again --tombstones /dev/stdin < $tombstones\`."
echo "restore: done; $compose up -d"

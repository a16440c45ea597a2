#!/bin/sh
# Backs up a running stack into a new folder: every database, answers that wait for theirs, old months of answers, MLflow's
# artefacts, the keys, and the SHA-256 of each file.
# The tombstones of erased users (no id is in them) are added to the file erasures.jsonl beside the folder, too: it
# grows with each backup, and deploy/restore.sh erases by it what an older backup still has.
#   sh deploy/backup.sh FOLDER      COMPOSE='docker-compose -p name' ENV_FILE=.env KEYS=.keys
#
# The order follows the references: history and loads (asof), then the versions that they name (mlflow), then their
# files. What is registered or promoted meanwhile is only in the later parts; the next promotion corrects that.
# The spool comes first: what of it is shipped meanwhile is in the database, which knows so, and is not shipped again.
set -eu
[ $# = 1 ] || { echo "usage: sh deploy/backup.sh FOLDER" >&2; exit 2; }
cd "$(dirname "$0")/.."
compose=${COMPOSE:-docker-compose}
umask 077
mkdir -p "$(dirname "$1")"
mkdir "$1" # fails if it exists
trap 'echo "backup: incomplete, do not use $1" >&2' EXIT

echo "backup: the spool of answers"
# tar ends with 1 where a file grew or was shipped meanwhile; each is whole up to a frame.
$compose exec -T shipper sh -c 'tar -C /var/spool/asof --exclude=./*.lock -c . || [ $? = 1 ]' > "$1/spool.tar"
for database in asof mlflow prefect; do
    echo "backup: database $database"
    # shellcheck disable=SC2016
    $compose exec -T postgres sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec pg_dump -U postgres -Fc "$0"' "$database" > "$1/$database.dump"
done
# shellcheck disable=SC2016
$compose exec -T postgres sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec psql -U postgres -Atc "$0" asof' \
    "SELECT to_jsonb(each) FROM public.erasures AS each" > "$1/erasures.jsonl" 2> /dev/null || true # none yet
every=$(dirname "$1")/erasures.jsonl
[ ! -s "$1/erasures.jsonl" ] || { touch "$every"; sort -u -o "$every" "$every" "$1/erasures.jsonl"; }
echo "backup: old months of answers"
$compose run --rm -T --no-deps --entrypoint tar ledger-keep -C /var/lib/archive -c . > "$1/archive.tar"
echo "backup: MLflow's artefacts"
$compose exec -T mlflow tar -C /var/lib/mlflow -c . > "$1/artefacts.tar"
echo "backup: keys"
cp "${ENV_FILE:-.env}" "$1/env"
[ ! -f "${KEYS:-.keys}/api-keys" ] || cp "${KEYS:-.keys}/api-keys" "$1/api-keys"

(cd "$1" && sha256sum -- * > SHA256SUMS)
trap - EXIT
echo "backup: $1, $(du -sh "$1" | cut -f 1)"

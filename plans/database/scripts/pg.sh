#!/usr/bin/env bash
# Begins every script that speaks to PostgreSQL. Who, where and what come from PGHOST, PGPORT, PGUSER, PGDATABASE; a
# password from PGPASSFILE alone.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
sources=$(realpath "${BASH_SOURCE[0]%/*}/../sql")
need PGDATABASE
tools psql pg_dump pg_restore sha256sum
export ROLLBACK_CAPTURE_DIR=${ROLLBACK_CAPTURE_DIR:-${BACKUP_DIR:-}}
export PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-5} PGAPPNAME="rollbackd ${ROLLBACK_ID:-}"
readonly maintenance=${MAINTENANCE_DATABASE:-postgres}

# Whoever rolls back writes to databases that are read-only by default.
writing='-c default_transaction_read_only=off'

# sql DATABASE [OPTION…]: standard input, on one connection, up to the first error.
sql() {
    local database=$1
    shift
    PGOPTIONS="$writing -c lock_timeout=30s -c client_min_messages=warning ${PGOPTIONS:-}" \
        psql --no-psqlrc --no-password --quiet --tuples-only --no-align --field-separator=$'\t' \
        --set=ON_ERROR_STOP=1 --dbname="$database" "$@"
}

# Where this rollback's two databases are: the one that is being restored, and the damaged one afterwards.
suffix=${ROLLBACK_ID:-by_hand}
suffix=${suffix//[^A-Za-z0-9]/_}
# shellcheck disable=SC2034 # read by who sources this
readonly fresh=${PGDATABASE}_restoring_$suffix damaged=${PGDATABASE}_before_$suffix
if [ "${#fresh}" -gt 63 ]; then fail "$fresh is longer than the 63 bytes of a name: shorten the plan's name"; fi

exists() {
    local found
    found=$(sql "$maintenance" --set=name="$1" <<<"SELECT 1 FROM pg_database WHERE datname = :'name'") ||
        fail "the server does not answer: ${PGHOST:-local socket}, database $maintenance"
    [ "$found" = 1 ]
}

# counts DATABASE: its tables' rows, a line each; COUNT_TABLES, or all of them.
counts() {
    sql "$1" --set=tables="${COUNT_TABLES:-}" <"$sources/counts.sql"
}

schema_version() {
    sql "$1" <<<"${SCHEMA_QUERY:-SELECT max(version) FROM schema_migrations}"
}

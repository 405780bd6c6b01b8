#!/usr/bin/env bash
# Restores the dump beside the damaged database, compares the two with what was counted when it was made, and only then
# lets them change names, in one transaction. Meanwhile the damaged one can be read and not written; whatever fails, it
# can be written again.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
"${0%/*}/verify-backup.sh"
dump=$(captured database.dump)
if exists "$damaged"; then
    echo "restored already: the damaged database is $damaged"
    exit 0
fi
if is_dry; then
    echo "would restore $dump as $fresh, and then call it $PGDATABASE, and the damaged one $damaged"
    exit 0
fi

everyone_off() {
    sql "$maintenance" --set=name="$1" <<'SQL' >/dev/null
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = :'name' AND pid <> pg_backend_pid() AND usename IS NOT NULL;
SQL
}

thaw() {
    local status=$?
    trap - EXIT
    if [ "$status" -ne 0 ] && (exists "$damaged"); then
        status=0 # the names had been changed when it went wrong
    elif [ "$status" -ne 0 ]; then
        local left="$PGDATABASE"
        if sql "$maintenance" --set=name="$left" --set=fresh="$fresh" <<'SQL'; then
ALTER DATABASE :"name" ALLOW_CONNECTIONS true;
ALTER DATABASE :"name" RESET default_transaction_read_only;
DROP DATABASE IF EXISTS :"fresh";
SQL
            everyone_off "$left" || true # they were told to read only, and keep to it until they come back
            echo "failed while $stage: $left is as it was, and can be written" >&2
        else
            echo "failed while $stage, and $left may still be READ-ONLY: run ./scripts/writable.sh" >&2
        fi
    fi
    exit "$status"
}
stage='making it read-only'
trap thaw EXIT
trap 'exit 143' TERM INT HUP

sql "$maintenance" --set=name="$PGDATABASE" <<<'ALTER DATABASE :"name" SET default_transaction_read_only = on;'
everyone_off "$PGDATABASE"

stage='making a database like it'
# As the other one was made, with its settings and grants: a dump holds what is in a database, not those.
sql "$maintenance" --set=old="$PGDATABASE" --set=fresh="$fresh" <"$sources/twin.sql"
stage='restoring the dump'
PGOPTIONS=$writing pg_restore --no-password --exit-on-error --jobs="${JOBS:-2}" --dbname="$fresh" "$dump"
sql "$fresh" <<<'SET client_min_messages = error; ANALYZE;'

stage='comparing it with what was captured'
found=$(counts "$fresh")
[ "$found" = "$(<"$(captured counts.tsv)")" ] || {
    diff "$(captured counts.tsv)" - <<<"$found" >&2 || true
    fail "the restored rows are not those that were counted"
}
[ "$(schema_version "$fresh")" = "$(<"$(captured schema-version)")" ] || fail "the restored schema has another version"

stage='changing the names'
# Nobody comes back between the last session's end and the change of names.
sql "$maintenance" --set=name="$PGDATABASE" <<<'ALTER DATABASE :"name" ALLOW_CONNECTIONS false;'
everyone_off "$PGDATABASE"
everyone_off "$fresh"
sql "$maintenance" --set=name="$PGDATABASE" --set=fresh="$fresh" --set=damaged="$damaged" <<'SQL'
BEGIN;
ALTER DATABASE :"name" RENAME TO :"damaged";
ALTER DATABASE :"fresh" RENAME TO :"name";
COMMIT;
SQL
echo "restored: the damaged database is $damaged, closed"

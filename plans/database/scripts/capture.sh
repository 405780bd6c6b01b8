#!/usr/bin/env bash
# Before the change: a dump, the rows of each table and the schema's version, all of one moment, and their hashes.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
need ROLLBACK_CAPTURE_DIR
cd "$ROLLBACK_CAPTURE_DIR"
sql "$PGDATABASE" --set=tables="${COUNT_TABLES:-}" --set=counts="$sources/counts.sql" \
    --set=version="${SCHEMA_QUERY:-SELECT max(version) FROM schema_migrations}" <<'SQL' || fail "nothing captured"
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\! pg_dump --no-password --snapshot="$SNAPSHOT" --format=custom --file=dump.part && mv dump.part database.dump
\o counts.tsv
\include :counts
\o schema-version
:version;
\o
COMMIT;
SQL
[ -s database.dump ] || fail "pg_dump failed: nothing to go back to"
sha256sum database.dump counts.tsv schema-version >SHA256SUMS
printf 'captured schema %s, %s bytes\n' "$(<schema-version)" "$(stat -c %s database.dump)"

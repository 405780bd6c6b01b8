#!/usr/bin/env bash
# Is there a dump, is it the one that was made, and can pg_restore read it?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
sums=$(captured SHA256SUMS) || fail "there is no dump: ${ROLLBACK_CAPTURE_DIR:-no capture} holds no SHA256SUMS"
cd "${sums%/*}"
for file in database.dump counts.tsv schema-version; do
    grep -q "  $file\$" SHA256SUMS || fail "SHA256SUMS does not name $file"
done
sha256sum --check --strict --quiet SHA256SUMS >&2 || fail "the dump in $PWD is not the one that was made: do not restore it"
pg_restore --list database.dump >/dev/null || fail "pg_restore cannot read $PWD/database.dump"
printf 'schema %s, taken %s\n' "$(<schema-version)" "$(date -u -r database.dump +%FT%TZ)"

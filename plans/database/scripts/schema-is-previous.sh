#!/usr/bin/env bash
# Is the schema the captured one?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
file=$(captured schema-version) || fail "no schema version was captured"
now=$(schema_version "$PGDATABASE") || fail "the schema's version is not known"
[ "$now" = "$(<"$file")" ] || fail "the schema is at $now, wanted $(<"$file")"
echo "$now"

#!/usr/bin/env bash
# The schema down to its previous version, with the new application's own migrations, before that one goes.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/schema.sh"
wanted=$(previous_schema)
now=$(schema_version)
if [ "$now" = "$wanted" ]; then
    echo "the schema is at $wanted already"
    exit 0
fi
[ "$now" -gt "$wanted" ] || fail "the schema is at $now, older than $wanted: nothing was done"
change migrate down-to "$wanted" || fail "the schema stopped at $(schema_version 2>/dev/null || echo "an unknown version"), wanted $wanted"
if is_dry; then exit 0; fi
now=$(schema_version)
[ "$now" = "$wanted" ] || fail "the schema is at $now, wanted $wanted"
echo "the schema is at $now"

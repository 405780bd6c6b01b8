#!/usr/bin/env bash
# Is the schema the previous one? 0 yes, 20 no, 1 cannot tell.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/schema.sh"
wanted=$(previous_schema)
now=$(schema_version)
[ "$now" = "$wanted" ] || {
    echo "the schema is at $now, wanted $wanted" >&2
    exit 20
}

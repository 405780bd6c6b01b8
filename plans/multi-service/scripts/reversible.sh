#!/usr/bin/env bash
# May the schema still go back? 0 yes, 20 no longer, 1 cannot tell.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/schema.sh"
now=$(schema_version)
if [ -n "${IRREVERSIBLE_FROM:-}" ] && [ "$now" -ge "$IRREVERSIBLE_FROM" ]; then
    echo "migration $IRREVERSIBLE_FROM ran (the schema is at $now), and it cannot be undone" >&2
    exit 20
fi

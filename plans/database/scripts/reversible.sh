#!/usr/bin/env bash
# May the database still go back to the dump? 0 yes, 20 no longer, 1 cannot tell.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
dump=$(captured database.dump) || fail "there is no dump to judge"
age=$(($(date +%s) - $(stat -c %Y "$dump")))
if [ "$age" -gt "${MAX_BACKUP_AGE:-14400}" ]; then
    echo "the dump is $age s old; what was written since would be lost" >&2
    exit 20
fi
if exists "$damaged"; then exit 0; fi # restored already; what follows asks about the damaged one
now=$(schema_version "$PGDATABASE") || fail "the schema's version is not known"
# Version order: 9 comes before 10.
if [ -n "${IRREVERSIBLE_FROM:-}" ] && printf '%s\n' "$IRREVERSIBLE_FROM" "$now" | sort -V -C; then
    echo "migration $IRREVERSIBLE_FROM ran (the schema is at $now), and it cannot be undone" >&2
    exit 20
fi

#!/usr/bin/env bash
# The damaged database stays, closed, until somebody has looked at it: its name goes where people look.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
exists "$damaged" || {
    echo "nothing was restored"
    exit 0
}
if is_dry; then
    echo "would note on $damaged why it is there"
    exit 0
fi
sql "$maintenance" --set=name="$damaged" --set=why="before $ROLLBACK_ID: ${ROLLBACK_REASON:-}" <<'SQL'
COMMENT ON DATABASE :"name" IS :'why';
SQL
echo "drop $damaged once nobody needs it"

#!/usr/bin/env bash
# Nobody deploys the bad release again by mistake, and what it logged is kept beside it.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
version ROLLBACK_NEXT_VERSION
folder=$ROOT/releases/$ROLLBACK_NEXT_VERSION
[ -d "$folder" ] || fail "$folder is missing"
if is_dry; then
    echo "would mark $folder as bad, with its log"
    exit 0
fi
printf 'rolled back by %s: %s\n' "$ROLLBACK_ID" "${ROLLBACK_REASON:-}" >"$folder/BAD"
timeout 30 journalctl --no-pager --unit="$UNIT" --since=-1h >"$folder/BAD.log" ||
    fail "marked, but its log could not be kept: is the user in group systemd-journal?"

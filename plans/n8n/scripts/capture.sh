#!/usr/bin/env bash
# Before the change: the workflow as it is, and whether it is active.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/api.sh"
need ROLLBACK_CAPTURE_DIR
found=$(request GET "$workflow")
jq -e '(.nodes | length > 0) and (.connections | type == "object")' >/dev/null <<<"$found" || fail "the workflow has no nodes"
printf '%s\n' "$found" >"$ROLLBACK_CAPTURE_DIR/workflow.json"
jq -r '"captured \(.name): \(.nodes | length) nodes, \(if .active then "active" else "inactive" end)"' <<<"$found"

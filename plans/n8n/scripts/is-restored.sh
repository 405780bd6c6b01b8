#!/usr/bin/env bash
# Is the workflow defined as it was captured? 0 yes, 20 no, 1 cannot tell.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/api.sh"
file=$(backup)
now=$(request GET "$workflow")
differ=$(definition <"$file" | jq -r --argjson now "$(definition <<<"$now")" 'to_entries | map(select(.value != $now[.key]).key) | join(", ")')
if [ -n "$differ" ]; then
    echo "other than captured: $differ" >&2
    exit 20
fi

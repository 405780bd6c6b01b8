#!/usr/bin/env bash
# The workflow's name, nodes, connections and settings as they were captured.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/api.sh"
file=$(backup)
if is_dry; then
    echo "would restore $(jq -r '"\(.name): \(.nodes | length) nodes"' "$file")"
    exit 0
fi
request PUT "$workflow" --header 'Content-Type: application/json' --data-binary @<(definition <"$file") >/dev/null
"${0%/*}/is-restored.sh" || fail "n8n took the definition, and has another"

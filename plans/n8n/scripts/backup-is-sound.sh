#!/usr/bin/env bash
# Is there a workflow to go back to, is it this one, and does n8n answer?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/api.sh"
file=$(backup)
jq -e --arg id "$WORKFLOW_ID" '.id == $id and (.nodes | length > 0) and (.connections | type == "object")' "$file" >/dev/null ||
    fail "$file is no workflow $WORKFLOW_ID"
request GET "$workflow" >/dev/null

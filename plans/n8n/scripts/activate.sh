#!/usr/bin/env bash
# Active again, if it was when it was captured.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/api.sh"
file=$(backup)
if [ "$(jq .active "$file")" != true ]; then
    echo "it was inactive, and stays so"
    exit 0
fi
if is_dry; then
    echo "would activate $WORKFLOW_ID"
    exit 0
fi
now=$(is_active POST "$workflow/activate")
[ "$now" = true ] || fail "n8n left $WORKFLOW_ID inactive"

#!/usr/bin/env bash
# No new executions; those under way end with the definition that they began with.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/api.sh"
now=$(is_active GET "$workflow")
if [ "$now" = false ]; then
    echo "inactive already"
    exit 0
fi
if is_dry; then
    echo "would deactivate $WORKFLOW_ID"
    exit 0
fi
now=$(is_active POST "$workflow/deactivate")
[ "$now" = false ] || fail "n8n left $WORKFLOW_ID active"

#!/usr/bin/env bash
# Is it active, if it was?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/api.sh"
file=$(backup)
wanted=$(jq .active "$file")
now=$(is_active GET "$workflow")
[ "$now" = "$wanted" ] || fail "active is $now, was $wanted"

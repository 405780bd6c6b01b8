#!/usr/bin/env bash
# What the previous configuration would change, as a saved plan that apply.sh executes and nothing else.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/tf.sh"
version ROLLBACK_PREVIOUS_VERSION
at "$ROLLBACK_PREVIOUS_VERSION"
rm -f "$work/rollback.tfplan"
status=0
compare "-out=$work/rollback.tfplan" || status=$?
terraform show -no-color -json "$work/rollback.tfplan" >"$work/rollback.json" || fail "terraform cannot show its own plan"
jq -r '.resource_changes[]? | select(.change.actions != ["no-op"] and .change.actions != ["read"])
       | "\(.change.actions | join("+")) \(.address)"' "$work/rollback.json"
gone=$(jq '[.resource_changes[]? | select(.change.actions | index("delete"))] | length' "$work/rollback.json")
[ "$gone" -le "${MAX_DESTROY:-0}" ] ||
    fail "$gone resources would be destroyed, and MAX_DESTROY is ${MAX_DESTROY:-0}: a person must look, see $work/plan.log"
if [ "$status" -eq 0 ]; then
    echo "planned: nothing to change"
else
    echo "planned: $(sed -n 's/^Plan: //p' "$work/plan.log")"
fi

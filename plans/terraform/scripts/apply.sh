#!/usr/bin/env bash
# Executes the saved plan; terraform refuses it if the state has moved on since.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/tf.sh"
[ -f "$work/rollback.tfplan" ] || fail "no plan was saved: plan.sh comes first"
if is_dry; then
    echo "would apply $work/rollback.tfplan"
    exit 0
fi
SECONDS_EACH=${APPLY_SECONDS:-540} terraform apply -no-color -lock-timeout="${LOCK_TIMEOUT:-30s}" "$work/rollback.tfplan" \
    >"$work/apply.log" 2>&1 || fail "terraform apply: $(reason "$work/apply.log"), see $work/apply.log"
sed -n '/^Apply complete!/p' "$work/apply.log"

#!/usr/bin/env bash
# Before the change: the state as it is. It may hold secrets. For people; nothing here pushes a state.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/tf.sh"
need ROLLBACK_CAPTURE_DIR
version ROLLBACK_PREVIOUS_VERSION
work=$WORK_DIR/capture-$ROLLBACK_PREVIOUS_VERSION
at "$ROLLBACK_PREVIOUS_VERSION"
terraform state pull >"$ROLLBACK_CAPTURE_DIR/state.json" || fail "the state is not to be had"
jq -r '"captured serial \(.serial), lineage \(.lineage), \(.resources | length) resources"' "$ROLLBACK_CAPTURE_DIR/state.json" ||
    fail "what terraform calls the state is none"
rm -rf "$work"

#!/usr/bin/env bash
# Is everything as the previous configuration has it? 0 yes, 20 no, 1 cannot tell.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/tf.sh"
version ROLLBACK_PREVIOUS_VERSION
at "$ROLLBACK_PREVIOUS_VERSION"
status=0
compare -lock=false || status=$?
if [ "$status" -eq 2 ]; then
    echo "not as $ROLLBACK_PREVIOUS_VERSION has it: $(sed -n 's/^Plan: //p' "$work/plan.log")" >&2
    exit 20
fi

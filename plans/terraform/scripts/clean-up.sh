#!/usr/bin/env bash
# The saved plan holds values that may be secret: only the logs are kept.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/tf.sh"
if ! is_dry && [ -d "$work" ]; then
    mkdir -p "$WORK_DIR/logs"
    for log in "$work"/*.log; do cp "$log" "$WORK_DIR/logs/${work##*/}-${log##*/}"; done
fi
change rm -rf "$work"

#!/usr/bin/env bash
# Is there something to go back to?
set -euo pipefail
file=$DEMO_DIR/releases/$ROLLBACK_PREVIOUS_VERSION/release.json
[ -s "$file" ] || {
    echo "$file is missing" >&2
    exit 1
}

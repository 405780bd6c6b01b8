#!/usr/bin/env bash
# Does the canary answer as the previous release? 0 yes, 20 no, 1 cannot tell.
set -euo pipefail
found=$("${0%/*}/ask.sh" GET /release/canary) || exit 1
[ "$found" = "$ROLLBACK_PREVIOUS_VERSION" ] || exit 20
echo "$found"

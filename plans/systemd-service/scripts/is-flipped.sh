#!/usr/bin/env bash
# Does the link lead to the previous release? 0 yes, 20 no, 1 cannot tell.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
found=$(current)
[ "$found" = "$ROLLBACK_PREVIOUS_VERSION" ] || exit 20

#!/usr/bin/env bash
# Is the previous release there, not marked bad, and as it was when it ran?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
version ROLLBACK_PREVIOUS_VERSION
folder=$ROOT/releases/$ROLLBACK_PREVIOUS_VERSION
[ -d "$folder" ] || fail "$folder is missing"
[ ! -e "$folder/BAD" ] || fail "$folder was itself rolled back: $(<"$folder/BAD")"
if manifest=$(captured MANIFEST) && [ "$(<"${manifest%/*}/release")" = "$ROLLBACK_PREVIOUS_VERSION" ]; then
    (cd "$folder" && sha256sum --check --strict --quiet "$manifest" >&2) || fail "$folder is not what it was"
    echo "$ROLLBACK_PREVIOUS_VERSION is as it was captured"
else
    echo "$ROLLBACK_PREVIOUS_VERSION is there; nothing was captured to compare it with"
fi

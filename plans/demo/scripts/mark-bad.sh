#!/usr/bin/env bash
# Nobody deploys this one again by mistake.
set -euo pipefail
"${0%/*}/note.sh"
printf 'rolled back by %s: %s\n' "$ROLLBACK_ID" "$ROLLBACK_REASON" >"$DEMO_DIR/releases/$ROLLBACK_NEXT_VERSION/BAD"

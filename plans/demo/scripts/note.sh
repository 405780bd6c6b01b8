#!/usr/bin/env bash
# A line for each time a step really ran: the demo counts them after it has killed the daemon.
set -euo pipefail
printf '%s %s\n' "$ROLLBACK_ID" "$ROLLBACK_STEP" >>"$DEMO_DIR/steps"

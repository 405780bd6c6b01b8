#!/usr/bin/env bash
# Restarts the unit; done once it answers as the previous release, within START_SECONDS.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
tools curl jq systemctl
change timeout 60 systemctl restart "$UNIT" || fail "$UNIT does not restart: journalctl -u $UNIT"
if is_dry; then exit 0; fi
until=$((SECONDS + ${START_SECONDS:-30}))
while [ "$SECONDS" -lt "$until" ]; do
    if said=$("${0%/*}/serves-previous.sh" 2>&1); then
        echo "$said"
        exit 0
    fi
    # A unit that systemd has given up on will not come.
    state=$(timeout 10 systemctl is-failed "$UNIT" || true)
    if [ "$state" = failed ]; then fail "$UNIT failed to start: journalctl -u $UNIT"; fi
    sleep 0.3
done
fail "$UNIT was restarted, and is not well: ${said:-no answer}"

#!/usr/bin/env bash
# The load balancer's check fails while DRAIN_FILE exists. Done once nobody is connected to PORT, or after DRAIN_SECONDS.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
need DRAIN_FILE PORT
change touch "$DRAIN_FILE"
if is_dry; then exit 0; fi

# The kernel's own table, of both families: local address, remote address, state 01 is established.
connected() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf ':%04X' "$PORT")" '$4 == "01" && substr($2, length($2) - 4) == port { n++ } END { print n + 0 }'
}
for ((waited = 0; waited < ${DRAIN_SECONDS:-30} * 5; waited++)); do
    left=$(connected)
    if [ "$left" -eq 0 ]; then
        echo drained
        exit 0
    fi
    sleep 0.2
done
echo "drained, but for $left that do not go: stopping the unit ends them"

#!/usr/bin/env bash
# No new requests to the canary; done once nothing has been under way there for two seconds.
set -euo pipefail
here=${0%/*}
"$here/weight.sh" 0
quiet=0
while [ "$quiet" -lt 20 ]; do
    if [ "$("$here/ask.sh" GET /under-way/canary)" = 0 ]; then quiet=$((quiet + 1)); else quiet=0; fi
    sleep 0.1
done
echo drained

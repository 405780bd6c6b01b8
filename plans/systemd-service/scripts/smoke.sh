#!/usr/bin/env bash
# Each of SMOKE_URLS answers with 200.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
for url in ${SMOKE_URLS:-$HEALTH_URL}; do
    status=$(curl --silent --noproxy '*' --connect-timeout 2 --max-time 10 --output /dev/null --write-out '%{http_code}' "$url") ||
        fail "$url does not answer"
    [ "$status" = 200 ] || fail "$url answers with $status"
done

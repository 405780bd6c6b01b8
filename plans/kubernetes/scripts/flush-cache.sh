#!/usr/bin/env bash
# What CACHE, a Redis, remembers is the new version's. Empty: there is none. Its password, if any, is in its own REDISCLI_AUTH.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
if [ -z "${CACHE:-}" ]; then
    echo "no cache"
    exit 0
fi
answer=$(change kubectl exec "$CACHE" -- redis-cli -n "${CACHE_DB:-0}" FLUSHDB) || fail "$CACHE does not answer"
echo "$answer"
# redis-cli exits with 0 where the server answered with an error.
is_dry || [[ $answer == *OK* ]] || fail "$CACHE did not flush: $answer"

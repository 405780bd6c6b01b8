#!/usr/bin/env bash
# What a cache remembers is of the damaged database. REDIS_HOST empty: there is none.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
if [ -z "${REDIS_HOST:-}" ]; then
    echo "no cache"
    exit 0
fi
tools redis-cli timeout
if [ -n "${REDIS_PASSWORD_FILE:-}" ]; then
    REDISCLI_AUTH=$(<"$REDIS_PASSWORD_FILE")
    export REDISCLI_AUTH
fi
redis() { timeout 15 redis-cli -h "$REDIS_HOST" -p "${REDIS_PORT:-6379}" -n "${REDIS_DB:-0}" "$@"; }
answer=$(change redis FLUSHDB) || fail "redis at $REDIS_HOST does not answer"
echo "$answer"
# redis-cli exits with 0 where the server answered with an error.
is_dry || [ "$answer" = OK ] || fail "redis at $REDIS_HOST did not flush: $answer"

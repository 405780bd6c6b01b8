#!/usr/bin/env bash
# announce.sh begun|over: to STATUS_URL, where customers and those who answer them look. Empty: nowhere.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
if [ -z "${STATUS_URL:-}" ]; then
    echo "nobody to tell but people whom rollbackd pages"
    exit 0
fi
need STATUS_TOKEN_FILE ROLLBACK_ID
tools curl jq
case $1 in
    begun) text="We are taking back a change that did not go well. Some requests may fail for a few minutes." ;;
    over) text="The change was taken back, and everything works again." ;;
    *) fail "announce what? begun or over" ;;
esac
if is_dry; then
    echo "would tell $STATUS_URL: $text"
    exit 0
fi
# The key makes it one announcement, however often it is sent.
status=$(jq -n --arg key "$ROLLBACK_ID/$1" --arg state "$1" --arg text "$text" '{$key, $state, $text}' |
    curl --silent --output /dev/null --write-out '%{http_code}' --connect-timeout 5 --max-time 15 \
        --header 'Content-Type: application/json' --header "Idempotency-Key: $ROLLBACK_ID/$1" \
        --header @<(printf 'Authorization: Bearer %s\n' "$(<"$STATUS_TOKEN_FILE")") --data-binary @- "$STATUS_URL") ||
    fail "$STATUS_URL does not answer"
[[ $status == 2?? ]] || fail "$STATUS_URL answers with $status"

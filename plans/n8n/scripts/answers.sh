#!/usr/bin/env bash
# A test event through the workflow's own webhook: WEBHOOK_PATH, which must know {"test": true} and answer with success.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/api.sh"
if [ -z "${WEBHOOK_PATH:-}" ]; then
    echo "it has no webhook"
    exit 0
fi
if is_dry; then
    echo "would post a test event to $WEBHOOK_PATH"
    exit 0
fi
status=$(curl --silent --noproxy '*' --output /dev/null --write-out '%{http_code}' --connect-timeout 5 --max-time "${REQUEST_SECONDS:-15}" \
    --header 'Content-Type: application/json' --data '{"test": true}' "${N8N_URL%/}/webhook/$WEBHOOK_PATH") || fail "the webhook does not answer"
[[ $status == 2?? ]] || fail "the webhook answers with $status"

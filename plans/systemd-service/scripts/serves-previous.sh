#!/usr/bin/env bash
# Does the service answer, as healthy, and as the previous release?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
tools curl jq
answer=$(ask 2>&1) || fail "$HEALTH_URL does not answer: $answer"
found=$(jq -er '"\(.status) \(.version)"' 2>/dev/null <<<"$answer") || fail "$HEALTH_URL answers no JSON: ${answer:0:80}"
[ "$found" = "healthy $ROLLBACK_PREVIOUS_VERSION" ] || fail "$HEALTH_URL: $found, wanted healthy $ROLLBACK_PREVIOUS_VERSION"
echo "$found"

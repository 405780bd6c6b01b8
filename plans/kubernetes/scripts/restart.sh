#!/usr/bin/env bash
# Pods read their configuration when they start. Where the application goes back too, that starts them anyway.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
if [ "${ROLLBACK_SCOPE:-all}" != configuration ]; then
    echo "the application's own phases restart it"
    exit 0
fi
for service in $SERVICES; do
    change kubectl rollout restart "deployment/$service" || fail "$service was not restarted"
done
for service in $SERVICES; do
    if ! is_dry; then "${0%/*}/settled.sh" "$service"; fi
done

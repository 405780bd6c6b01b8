#!/usr/bin/env bash
# Does each of SERVICES say that it is healthy? Asked through the API server: no way into the cluster is needed.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
for service in $SERVICES; do
    answer=$(kubectl get --raw "/api/v1/namespaces/$NAMESPACE/services/$service:${PORT_NAME:-http}/proxy${HEALTH_PATH:-/health}") ||
        fail "$service does not answer"
    status=$(jq -r '.status' 2>/dev/null <<<"$answer") || fail "$service answers no JSON: ${answer:0:80}"
    [ "$status" = healthy ] || fail "$service is $status"
done

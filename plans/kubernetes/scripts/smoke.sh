#!/usr/bin/env bash
# Do the critical paths answer? SMOKE_PATHS: SERVICE/PATH, blanks between.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
for path in ${SMOKE_PATHS:-}; do
    kubectl get --raw "/api/v1/namespaces/$NAMESPACE/services/${path%%/*}:${PORT_NAME:-http}/proxy/${path#*/}" >/dev/null ||
        fail "$path does not answer, or not with success"
done

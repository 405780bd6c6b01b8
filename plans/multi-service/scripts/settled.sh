#!/usr/bin/env bash
# settled.sh DEPLOYMENT: done once all its pods are new and ready, within ROLLOUT_SECONDS.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
within=${ROLLOUT_SECONDS:-120}
SECONDS_EACH=$((within + 10)) kubectl rollout status "deployment/$1" --timeout="${within}s" >&2 || {
    kubectl get pods --output=wide >&2 || true
    fail "$1 did not settle within $within s: kubectl describe deployment/$1"
}
echo "$1 settled"

#!/usr/bin/env bash
# The new version's deployments of their own are not needed any more.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
for canary in ${CANARIES:-}; do
    change kubectl delete deployment "$canary" --ignore-not-found --wait=false || fail "$canary was not removed"
done

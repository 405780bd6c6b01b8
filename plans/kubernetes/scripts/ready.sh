#!/usr/bin/env bash
# May we do what is to be done, and does each service have something to go back to?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
for what in "get replicasets" "patch deployments" "patch deployments --subresource=scale" ${CONFIGMAPS:+"update configmaps"}; do
    # shellcheck disable=SC2086 # a verb and a resource
    kubectl auth can-i $what --quiet || fail "not allowed, or nobody answers: kubectl auth can-i $what"
done
for service in $SERVICES; do
    target=$(previous "$service")
    echo "$service: revision $target"
done

#!/usr/bin/env bash
# As many pods as were captured, never fewer than there are; done once they are ready.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
for service in $SERVICES; do
    wanted=$(on_record "$service" '.spec.replicas')
    now=$(kubectl get deployment "$service" --output='jsonpath={.spec.replicas}') || fail "$service: no answer"
    if [ "${now:-0}" -lt "${wanted:-0}" ]; then
        change kubectl scale deployment "$service" --replicas="$wanted" || fail "$service was not scaled to $wanted"
    fi
    if ! is_dry; then "${0%/*}/settled.sh" "$service"; fi
done

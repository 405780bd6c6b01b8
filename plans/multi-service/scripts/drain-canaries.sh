#!/usr/bin/env bash
# No pod of the new version that runs beside the old one: CANARIES to no replicas; done once their pods are gone.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
for canary in ${CANARIES:-}; do
    found=$(kubectl get deployment "$canary" --ignore-not-found --output=json) || fail "$canary: no answer"
    [ -n "$found" ] || continue
    change kubectl scale deployment "$canary" --replicas=0 || fail "$canary was not scaled to 0"
    if is_dry; then continue; fi
    selector=$(jq -r '.spec.selector.matchLabels | to_entries | map("\(.key)=\(.value)") | join(",")' <<<"$found")
    for ((waited = 0; ; waited++)); do
        left=$(kubectl get pods --selector="$selector" --output=name) || fail "$canary: no answer about its pods"
        if [ -z "$left" ]; then break; fi
        [ "$waited" -lt "${DRAIN_SECONDS:-45}" ] || fail "pods of $canary do not end: ${left//$'\n'/, }"
        sleep 1
    done
done
echo drained

#!/usr/bin/env bash
# CONFIGMAPS as they were captured, whole: what was added since goes.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
if [ -z "${CONFIGMAPS:-}" ]; then
    echo "no configuration of its own"
    exit 0
fi
file=$(captured "${region:+$region-}configmaps.json") || fail "no configuration was captured"
jq -c '.items[] | .metadata |= {name, namespace, labels, annotations}' "$file" |
    while read -r map; do
        name=$(jq -r .metadata.name <<<"$map")
        found=$(kubectl get configmap "$name" --ignore-not-found --output=name </dev/null) || fail "$name: no answer"
        change kubectl "$([ -n "$found" ] && echo replace || echo create)" --filename=- <<<"$map" || fail "$name was not restored"
    done

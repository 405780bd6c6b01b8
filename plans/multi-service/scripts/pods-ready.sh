#!/usr/bin/env bash
# Has each of SERVICES all its pods, of the newest revision, ready?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
for service in $SERVICES; do
    found=$(kubectl get deployment "$service" --output=json) || fail "$service: no answer"
    said=$(jq -r '.status as $s | .spec.replicas as $n
        | if ($s.observedGeneration // 0) >= .metadata.generation
             and ($s.updatedReplicas // 0) == $n and ($s.readyReplicas // 0) == $n and ($s.replicas // 0) == $n then "ready"
          else "\($s.readyReplicas // 0) of \($n) pods ready, \($s.updatedReplicas // 0) of the newest revision" end' <<<"$found")
    [ "$said" = ready ] || fail "$service: $said"
done

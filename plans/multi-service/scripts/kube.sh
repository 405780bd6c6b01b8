#!/usr/bin/env bash
# Begins every script that speaks to a cluster; the same file in kubernetes and multi-service.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
need NAMESPACE SERVICES
tools kubectl jq timeout

# The cluster is the region's, CONTEXT_<region>; without regions CONTEXT, or whatever kubectl is set to.
region=${ROLLBACK_REGION:-${PRIMARY_REGION:-}}
name=CONTEXT${region:+_${region//[^A-Za-z0-9]/_}}
context=${!name:-}
if [ -n "$region" ] && [ -z "$context" ]; then fail "$name is not set: which cluster is $region?"; fi

# kubectl ARGUMENT…: on that cluster, for SECONDS_EACH at most.
kubectl() {
    local status=0 at_most=${SECONDS_EACH:-30}
    timeout --kill-after=5 "$at_most" kubectl ${context:+"--context=$context"} --namespace="$NAMESPACE" "$@" || status=$?
    if [ "$status" -eq 124 ]; then echo "kubectl $1 did not answer within $at_most s" >&2; fi
    return "$status"
}

# on_record DEPLOYMENT FILTER: of the captured deployment, or nothing.
on_record() {
    local file
    file=$(captured "${region:+$region-}deployments.json") || return 0
    jq -r --arg name "$1" '.items[] | select(.metadata.name == $name) | '"$2"' // empty' "$file"
}

# previous DEPLOYMENT: "REVISION IMAGE…" of what it goes back to: the captured revision, whatever its number is by now; where
# nothing was captured the newest with an image of ROLLBACK_PREVIOUS_VERSION.
previous() {
    local revision found
    revision=$(on_record "$1" '.metadata.annotations["deployment.kubernetes.io/revision"]')
    found=$(kubectl get replicasets --output=json) || fail "the replica sets of $1 are not to be had"
    jq -er --arg name "$1" --arg revision "$revision" --arg version "${ROLLBACK_PREVIOUS_VERSION:-}" '
        def note($what): .metadata.annotations["deployment.kubernetes.io/" + $what] // "";
        [ .items[]
          | select(any(.metadata.ownerReferences[]?; .kind == "Deployment" and .name == $name))
          | {revision: note("revision"), past: (note("revision-history") | split(",")),
             images: [.spec.template.spec.containers[].image]}
          | select(if $revision != "" then .revision == $revision or any(.past[]; . == $revision)
                   else $version != "" and any(.images[]; endswith(":" + $version)) end)
        ] | sort_by(.revision | tonumber) | last // empty | [.revision, .images[]] | join(" ")' <<<"$found" ||
        fail "$1 has no revision ${revision:-with image :${ROLLBACK_PREVIOUS_VERSION:-}} left: see its revisionHistoryLimit"
}

# images DEPLOYMENT: what it is set to now.
images() { kubectl get deployment "$1" --output='jsonpath={.spec.template.spec.containers[*].image}'; }

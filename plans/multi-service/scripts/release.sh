#!/usr/bin/env bash
# Which release runs: the tag of the first service's first image.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
image=$(kubectl get deployment "${SERVICES%% *}" --output='jsonpath={.spec.template.spec.containers[0].image}') || fail "no answer"
image=${image%@*} # a digest is no release
[[ ${image##*/} == *:* ]] || fail "$image has no tag"
printf '%s\n' "${image##*:}"

#!/usr/bin/env bash
# capture.sh [REGION]: before the change, the deployments with their revisions and replicas, and the configuration that is not
# secret.
set -euo pipefail
export ROLLBACK_REGION=${1:-${ROLLBACK_REGION:-}}
. "${BASH_SOURCE[0]%/*}/kube.sh"
need ROLLBACK_CAPTURE_DIR
cd "$ROLLBACK_CAPTURE_DIR"

# keep KIND NAMES: as a list, whether one or several.
keep() {
    # shellcheck disable=SC2086 # names, blanks between
    kubectl get "$1" $2 --output=json | jq '{items: (.items // [.])}' >"${region:+$region-}$1.json" || fail "one of $1 $2 is not to be had"
}
keep deployments "$SERVICES"
if [ -n "${CONFIGMAPS:-}" ]; then keep configmaps "$CONFIGMAPS"; fi
jq -r '.items[] | "\(.metadata.name) \(.spec.template.spec.containers[0].image) \(.spec.replicas)"' "${region:+$region-}deployments.json"

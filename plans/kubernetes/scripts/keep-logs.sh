#!/usr/bin/env bash
# What the services logged meanwhile, into ARCHIVE_DIR/ID/.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
need ARCHIVE_DIR ROLLBACK_ID
folder=$ARCHIVE_DIR/$ROLLBACK_ID
change mkdir -p "$folder"
if is_dry; then exit 0; fi
for service in $SERVICES; do
    selector=$(kubectl get deployment "$service" --output=json |
        jq -r '.spec.selector.matchLabels | to_entries | map("\(.key)=\(.value)") | join(",")') || fail "$service: no answer"
    SECONDS_EACH=60 kubectl logs --selector="$selector" --all-containers --prefix --since=30m --tail=-1 \
        --max-log-requests=50 >"$folder/${region:+$region-}$service.log" || fail "the log of $service could not be kept"
done

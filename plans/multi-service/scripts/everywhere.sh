#!/usr/bin/env bash
# everywhere.sh SCRIPT [ARGUMENT…]: in each of REGIONS, one after the other; the first that fails says where. For checks, which
# are asked once.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
need REGIONS
script=$1
shift
for region in $REGIONS; do
    said=$(ROLLBACK_REGION=$region "${0%/*}/$script" "$@" 2>&1) || {
        status=$?
        printf '%s: %s\n' "$region" "${said##*$'\n'}" >&2
        exit "$status"
    }
done

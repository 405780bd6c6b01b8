#!/usr/bin/env bash
# is-previous.sh DEPLOYMENT…: set to its previous images? 0 yes, 20 no, 1 cannot tell. None named: all of SERVICES.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
# shellcheck disable=SC2086 # names, blanks between
[ "$#" -gt 0 ] || set -- $SERVICES
for service; do
    target=$(previous "$service")
    now=$(images "$service") || fail "$service: no answer"
    if [ "$now" != "${target#* }" ]; then
        echo "$service: $now, wanted ${target#* }" >&2
        exit 20
    fi
    echo "$service: $now"
done

#!/usr/bin/env bash
# undo.sh DEPLOYMENT: back to its previous revision; done once all its pods are of that one, and ready.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
target=$(previous "$1")
now=$(images "$1") || fail "$1: no answer"
if [ "$now" = "${target#* }" ]; then
    echo "$1 is at ${target#* } already"
else
    change kubectl rollout undo "deployment/$1" --to-revision="${target%% *}" || fail "$1 was not undone: still $now"
fi
if ! is_dry; then "${0%/*}/settled.sh" "$1"; fi

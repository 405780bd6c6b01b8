#!/usr/bin/env bash
# Begins every script here: where the releases are, and how the service is asked.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
need ROOT UNIT HEALTH_URL

# ask: what the health address answers, whatever its status; fails where it does not answer in time.
ask() { curl --silent --show-error --noproxy '*' --connect-timeout 2 --max-time "${HEALTH_SECONDS:-5}" "$HEALTH_URL"; }

current() {
    local target
    target=$(readlink "$ROOT/current") || fail "$ROOT/current is no link"
    printf '%s\n' "${target##*/}"
}

#!/usr/bin/env bash
# Begins every script of the shipped plans; the same file in each plan's folder.
set -euo pipefail
shopt -s inherit_errexit
umask 077

# What a script says last is what people are shown.
fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# need NAME…: what the plan's `env:` must give.
need() {
    local name
    for name; do
        [ -n "${!name:-}" ] || fail "$name is not set: write it under env: in plan.yml"
    done
}

# tools NAME…: what must be installed where the daemon runs.
tools() {
    local name
    for name; do
        command -v "$name" >/dev/null || fail "$name is not on PATH ($PATH)"
    done
}

# version NAME: the variable's value becomes part of a path, or of a resource's name.
version() {
    [[ ${!1:-} =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] || fail "$1 is no version: '${!1:-}'"
}

# In a dry rehearsal everything is looked at and nothing is changed.
is_dry() { [ "${ROLLBACK_REHEARSAL:-0}" = dry ]; }

# change COMMAND…: run it; in a dry rehearsal say it.
change() {
    if is_dry; then printf 'would run:%s\n' "$(printf ' %q' "$@")"; else "$@"; fi
}

# captured FILE: where it is among what was captured, whatever the item is called; fails where it is not.
captured() {
    local found
    for found in "${ROLLBACK_CAPTURE_DIR:-/nonexistent}"/{,*/}"$1"; do
        if [ -f "$found" ]; then
            printf '%s\n' "$found"
            return
        fi
    done
    return 1
}

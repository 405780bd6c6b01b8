#!/usr/bin/env bash
# Begins every script here: terraform on the configuration of one version, with nobody to answer its questions.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
need REPOSITORY MODULE WORK_DIR
tools terraform git jq timeout
export TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1 TF_CLI_ARGS=
work=$WORK_DIR/${ROLLBACK_ID:-by-hand}

# terraform ARGUMENT…: in the module, for SECONDS_EACH at most; asked to stop it has a minute to write its state.
terraform() {
    timeout --kill-after=60 "${SECONDS_EACH:-120}" terraform "-chdir=$work/$MODULE" "$@"
}

# at VERSION: the configuration as the tag VERSION (or TAG_PREFIX and VERSION) has it, ready to plan.
at() {
    local commit
    commit=$(git -C "$REPOSITORY" rev-parse --verify --quiet --end-of-options "refs/tags/${TAG_PREFIX:-}$1^{commit}") ||
        fail "$REPOSITORY has no tag ${TAG_PREFIX:-}$1"
    if [ "$(cat "$work/commit" 2>/dev/null)" = "$commit" ]; then return; fi
    rm -rf "$work"
    mkdir -p "$work"
    git -C "$REPOSITORY" archive "$commit" | tar -x -C "$work"
    [ -d "$work/$MODULE" ] || fail "$MODULE is not in ${TAG_PREFIX:-}$1"
    terraform init -no-color -lockfile=readonly ${BACKEND_CONFIG:+"-backend-config=$BACKEND_CONFIG"} >"$work/init.log" 2>&1 ||
        fail "terraform init: $(reason "$work/init.log")"
    if [ -n "${WORKSPACE:-}" ]; then
        terraform workspace select -no-color "$WORKSPACE" >&2 || fail "there is no workspace $WORKSPACE"
    fi
    printf '%s\n' "$commit" >"$work/commit"
}

# compare [OPTION…]: 0 nothing to change, 2 something (see the option -out), else 1 and why.
compare() {
    local status=0
    terraform plan -no-color -detailed-exitcode -lock-timeout="${LOCK_TIMEOUT:-30s}" \
        ${VAR_FILE:+"-var-file=$VAR_FILE"} "$@" >"$work/plan.log" 2>&1 || status=$?
    case $status in
        0 | 2) return "$status" ;;
        124 | 137) fail "terraform plan took longer than ${SECONDS_EACH:-120} s" ;;
        *) fail "terraform plan: $(reason "$work/plan.log")" ;;
    esac
}

# reason LOG: the first error, and of a lock who holds it since when.
reason() {
    sed -n 's/^[│╷ ]*Error: //p' "$1" | head -n 1 | tr '\n' ' '
    sed -nE 's/^[│ ]*(ID|Who|Created): +(.*)$/\1 \2/p' "$1" | paste -sd, - | sed 's/^\(..*\)$/(\1)/'
}

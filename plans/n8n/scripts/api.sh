#!/usr/bin/env bash
# Begins every script here: n8n's public API, with a key that no process list shows.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
need N8N_URL WORKFLOW_ID API_KEY_FILE
tools curl jq
[[ $WORKFLOW_ID =~ ^[A-Za-z0-9_-]+$ ]] || fail "WORKFLOW_ID is none: $WORKFLOW_ID"
# shellcheck disable=SC2034 # read by who sources this
workflow=/api/v1/workflows/$WORKFLOW_ID
[ -r "$API_KEY_FILE" ] || fail "$API_KEY_FILE cannot be read"

# request METHOD PATH [CURL'S OPTION…]: the answer, a JSON object; fails with what was answered instead. Only a GET is tried
# three times.
request() {
    local method=$1 path=$2 answer status attempt
    shift 2
    for attempt in 1 2 3; do
        if answer=$(asked "$method" "$path" "$@" 2>&1); then
            status=${answer##*$'\n'} answer=${answer%$'\n'*}
        else
            status=none
        fi
        if [ "$method" != GET ] || [[ $status != none && $status != 429 && $status != 5?? ]]; then break; fi
        if [ "$attempt" -lt 3 ]; then sleep 1; fi
    done
    case $status in
        2??) ;;
        none) fail "n8n at $N8N_URL: $(sed -n 's/^curl: //p' <<<"$answer")" ;;
        401 | 403) fail "n8n refuses the key in $API_KEY_FILE ($status)" ;;
        404) fail "n8n knows no $path ($status)" ;;
        *) fail "n8n answered $method $path with $status: $(said "$answer")" ;;
    esac
    jq -e 'type == "object"' >/dev/null 2>&1 <<<"$answer" || fail "n8n answered $method $path with no JSON object: $(said "$answer")"
    printf '%s\n' "$answer"
}

# asked METHOD PATH [CURL'S OPTION…]: the body, and the status on a line of its own.
asked() {
    curl --silent --show-error --noproxy '*' --request "$1" --connect-timeout 5 --max-time "${REQUEST_SECONDS:-15}" \
        --header @<(printf 'X-N8N-API-KEY: %s\n' "$(<"$API_KEY_FILE")") --write-out '\n%{http_code}' \
        "${@:3}" "${N8N_URL%/}$2"
}

said() { jq -er '.message' 2>/dev/null <<<"$1" || printf '%s' "${1:0:80}" | tr '\n' ' '; }

# is_active METHOD PATH: "true" or "false", of what is answered.
is_active() {
    local answer
    answer=$(request "$@") || exit 1
    jq .active <<<"$answer"
}

# definition: of what is read, what a person edits; the rest is n8n's own, and refused by it in a PUT.
definition() { jq -S '{name, nodes, connections, settings: (.settings // {})}'; }

backup() { captured workflow.json || fail "the workflow was not captured: there is nothing to go back to"; }

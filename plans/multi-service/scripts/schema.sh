#!/usr/bin/env bash
# Begins the scripts that speak to the database, through the application that knows its migrations: MIGRATE is a command of
# MIGRATOR's image that understands `version` and `down-to VERSION`.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/kube.sh"
need MIGRATOR MIGRATE PRIMARY_REGION
migrate() {
    # shellcheck disable=SC2086 # a command and its arguments
    SECONDS_EACH=${MIGRATE_SECONDS:-30} kubectl exec "$MIGRATOR" -- $MIGRATE "$@"
}
schema_version() {
    local found
    found=$(migrate version) || fail "$MIGRATOR does not say which migration the schema is at"
    [[ $found =~ ^[0-9]+$ ]] || fail "$MIGRATOR says that the schema is at: ${found:0:80}"
    printf '%s\n' "$found"
}

# What was captured, else what the plan says.
previous_schema() {
    local file
    if file=$(captured schema-version); then cat "$file"; else need SCHEMA_VERSION && printf '%s\n' "$SCHEMA_VERSION"; fi
}

#!/usr/bin/env bash
# Before the change: which migration the schema is at.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/schema.sh"
need ROLLBACK_CAPTURE_DIR
found=$(schema_version)
printf '%s\n' "$found" | tee "$ROLLBACK_CAPTURE_DIR/schema-version"

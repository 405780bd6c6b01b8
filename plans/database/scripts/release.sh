#!/usr/bin/env bash
# Which release the database is at: its schema's version.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
schema_version "$PGDATABASE"

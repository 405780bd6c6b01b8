#!/usr/bin/env bash
# Did the two databases change names? 0 yes, 20 no, 1 cannot tell.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
if exists "$damaged" && exists "$PGDATABASE"; then exit 0; fi
exit 20

#!/usr/bin/env bash
# The database takes writes again. restore.sh sees to it; this is for whatever came in between.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
if is_dry; then
    echo "would let $PGDATABASE be written"
    exit 0
fi
sql "$maintenance" --set=name="$PGDATABASE" <<'SQL' || fail "$PGDATABASE may still be read-only"
ALTER DATABASE :"name" ALLOW_CONNECTIONS true;
ALTER DATABASE :"name" RESET default_transaction_read_only;
SQL

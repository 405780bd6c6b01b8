#!/usr/bin/env bash
# As an application: connect and do what FUNCTIONAL_SQL says, in a transaction that is taken back.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
writing= # by its defaults, like everyone else
sql "$PGDATABASE" <<SQL || fail "$PGDATABASE takes no writes, or not this one: ${FUNCTIONAL_SQL:-the built-in one}"
BEGIN;
${FUNCTIONAL_SQL:-CREATE TABLE rollbackd_probe (n int); INSERT INTO rollbackd_probe VALUES (1)};
ROLLBACK;
SQL

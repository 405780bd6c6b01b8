#!/usr/bin/env bash
# Does each table hold at least the captured rows? New ones have been written since; fewer are a loss.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/pg.sh"
file=$(captured counts.tsv) || fail "no rows were counted"
now=$(counts "$PGDATABASE") || fail "the rows cannot be counted"
lost=$(awk -F'\t' 'NR == FNR { now[$1] = $2; next } !($1 in now) || now[$1] < $2 {
    printf "%s%s: %s rows, %s captured", sep, $1, ($1 in now) ? now[$1] : "no", $2; sep = "; " }' <(echo "$now") "$file")
[ -z "$lost" ] || fail "$lost"

#!/usr/bin/env bash
# Before the change: which release runs, what each of its files is, and how the unit is set up.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
need ROLLBACK_CAPTURE_DIR
current >"$ROLLBACK_CAPTURE_DIR/release"
release=$(<"$ROLLBACK_CAPTURE_DIR/release")
cd "$ROOT/releases/$release"
find . -type f ! -name BAD -print0 | LC_ALL=C sort -z | xargs -0r sha256sum >"$ROLLBACK_CAPTURE_DIR/MANIFEST"
[ -s "$ROLLBACK_CAPTURE_DIR/MANIFEST" ] || fail "$PWD is empty"
timeout 10 systemctl cat "$UNIT" >"$ROLLBACK_CAPTURE_DIR/unit" || fail "systemd does not know $UNIT"
printf 'captured %s: %s files\n' "$release" "$(wc -l <"$ROLLBACK_CAPTURE_DIR/MANIFEST")"

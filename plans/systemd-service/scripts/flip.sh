#!/usr/bin/env bash
# The link to the previous release, made beside and moved over the old one: at no moment is there none.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
version ROLLBACK_PREVIOUS_VERSION
[ -d "$ROOT/releases/$ROLLBACK_PREVIOUS_VERSION" ] || fail "$ROOT/releases/$ROLLBACK_PREVIOUS_VERSION is missing"
if [ -e "$ROOT/current" ] && [ ! -L "$ROOT/current" ]; then fail "$ROOT/current is no link: left alone"; fi
next=$ROOT/.current.${ROLLBACK_ID:-by-hand}
change ln -sfn "releases/$ROLLBACK_PREVIOUS_VERSION" "$next"
change mv -T "$next" "$ROOT/current"

#!/usr/bin/env bash
# Is there a tag to go back to, with the module in it?
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/tf.sh"
version ROLLBACK_PREVIOUS_VERSION
git -C "$REPOSITORY" cat-file -e "refs/tags/${TAG_PREFIX:-}$ROLLBACK_PREVIOUS_VERSION:$MODULE" 2>/dev/null ||
    fail "$REPOSITORY has no tag ${TAG_PREFIX:-}$ROLLBACK_PREVIOUS_VERSION with $MODULE in it"

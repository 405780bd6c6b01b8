#!/usr/bin/env bash
# Which release the link leads to.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
current

#!/usr/bin/env bash
# Does what stands on it answer? Each of URLS with a status below 400.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/common.sh"
tools curl
for url in ${URLS:-}; do
    curl --fail --silent --show-error --output /dev/null --connect-timeout 5 --max-time 15 "$url" || fail "$url does not answer as it should"
done

#!/usr/bin/env bash
# The load balancer sees the service again.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/service.sh"
need DRAIN_FILE
change rm -f "$DRAIN_FILE"

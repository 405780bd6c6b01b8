#!/usr/bin/env bash
# Which release the canary is set to.
set -euo pipefail
basename "$(readlink "$DEMO_DIR/canary/current")"

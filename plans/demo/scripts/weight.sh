#!/usr/bin/env bash
# weight.sh N: the canary gets N parts of the traffic (the stable cohort has 50).
set -euo pipefail
"${0%/*}/note.sh"
"${0%/*}/ask.sh" POST "/weight/canary/$1"

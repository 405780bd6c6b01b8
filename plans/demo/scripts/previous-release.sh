#!/usr/bin/env bash
# Set the canary to the previous release and restart it; done once that release answers.
set -euo pipefail
here=${0%/*}
canary=$DEMO_DIR/canary
"$here/note.sh"
ln -sfn "../releases/$ROLLBACK_PREVIOUS_VERSION" "$canary/next"
mv -T "$canary/next" "$canary/current"
kill -TERM "$(<"$canary/pid")" # its supervisor starts it again
for _ in {1..100}; do
    if "$here/is-previous.sh"; then exit 0; fi
    sleep 0.1
done
echo "the canary does not answer as $ROLLBACK_PREVIOUS_VERSION" >&2
exit 1

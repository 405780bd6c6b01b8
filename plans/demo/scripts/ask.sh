#!/usr/bin/env bash
# ask.sh METHOD PATH: one request to the proxy's admin address. Prints the body; fails unless it is 200.
set -euo pipefail
address=$(<"$DEMO_DIR/proxy/admin")
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
printf '%s %s HTTP/1.0\r\n\r\n' "$1" "$2" >&3
read -r _ status _ <&3
while read -r line <&3 && [ "$line" != $'\r' ]; do :; done
cat <&3
[ "$status" = 200 ]

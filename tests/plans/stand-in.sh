#!/usr/bin/env bash
# A stand-in for whatever program it is called as. It notes what it is asked, and answers by the first line of NAME.answers
# whose pattern fits: PATTERN<tab>STATUS<tab>FILE, the file to standard output, or to standard error where it fails.
set -euo pipefail
name=${0##*/}
here=${0%/bin/*}
printf '%s\n' "$*" >>"$here/$name.asked"
for argument; do
    case $argument in
        --filename=-) cat >>"$here/$name.input" ;;
        -out=*) : >"${argument#-out=}" ;;
    esac
done
while IFS=$'\t' read -r pattern status file; do
    # shellcheck disable=SC2053 # a pattern
    [[ $* == $pattern ]] || continue
    case $status in
        hangs) exec sleep 300 ;;
        0) cat "$here/$file" ;;
        *) cat "$here/$file" >&2 ;;
    esac
    exit "$status"
done <"$here/$name.answers"
echo "unexpected: $name $*" >&2
exit 97

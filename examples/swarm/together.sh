#!/usr/bin/env bash
# Runs an app with its daemon beside it: together.sh COMMAND [ARGUMENT]...
# Told to stop, the daemon goes first: it drains, so that nobody asks an app that is gone. Where either ends, so does the other.
set -u

daemon=
app=
stop() {
    trap '' TERM INT
    # What has not begun needs no goodbye; what is left ends with this, the container's first process.
    for process in $daemon $app; do
        kill -TERM "$process" 2>/dev/null
        wait "$process"
    done
    exit 0
}
# Before anything is started: the first process of a container ignores every signal that it has no handler for.
trap stop TERM INT

gossipmesh up &
daemon=$!
# The app begins once it can call others; a mesh that answers nobody yet is no reason not to begin, a daemon that ended is.
gossipmesh wait --timeout 30s &
wait -n -p ended "$daemon" $!
status=$?
if [[ ${ended:-$daemon} == "$daemon" ]]; then
    echo "together.sh: the daemon ended before it was ready" >&2
    exit "$status"
elif [[ $status != 0 ]]; then
    echo "together.sh: not ready after 30 s; starting all the same" >&2
fi
"$@" &
app=$!

wait -n "$daemon" "$app"
status=$?
kill -TERM "$daemon" "$app" 2>/dev/null
wait
exit "$status"

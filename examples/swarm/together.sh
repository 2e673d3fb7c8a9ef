#!/usr/bin/env bash
# Runs an app with its daemon beside it: together.sh COMMAND [ARGUMENT]...
# Told to stop, the daemon goes first: it drains, so that nobody asks an app that is gone. Where either ends, so does the other.
set -u

gossipmesh up &
daemon=$!
# The app begins once it can call others; a mesh that answers nobody yet is no reason not to begin.
gossipmesh wait --timeout 30s || echo "together.sh: not ready after 30 s; starting all the same" >&2
"$@" &
app=$!

stop() {
    trap '' TERM INT
    kill -TERM "$daemon" 2>/dev/null
    wait "$daemon"
    kill -TERM "$app" 2>/dev/null
    wait "$app"
    exit 0
}
trap stop TERM INT

wait -n "$daemon" "$app"
status=$?
kill -TERM "$daemon" "$app" 2>/dev/null
wait
exit "$status"

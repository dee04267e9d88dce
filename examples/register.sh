#!/bin/sh
# Run a server, and register it over HTTP as long as it runs:
#
#     examples/register.sh orders 10.0.0.7:8080 ./server --port 8080
#
# ZREG_HTTP has the sessions to ask, one after the other until one answers:
#
#     ZREG_HTTP="http://127.0.0.1:9603 http://127.0.0.1:9613"
set -u

service=$1
address=$2
shift 2
instance=$(hostname)-$$
sessions=${ZREG_HTTP:-http://127.0.0.1:9603}

# Ask the sessions in turn, with these options of curl and this query.
ask() {
    query=$1
    shift
    for session in $sessions; do
        curl --silent --show-error --fail --max-time 5 --output /dev/null "$@" \
            "$session/v1/services/$service/instances/$instance$query" && return
    done
    echo "register.sh: no session has answered: $sessions" >&2
    return 1
}

# A lease of 20 s is renewed within 5 s. TERM ends it after the request under way.
renew() {
    trap 'exit 0' TERM
    while :; do
        ask '?lease_seconds=20' -X PUT --json "{\"values\": [\"$address\"]}"
        sleep 4 &
        wait $!
    done
}

"$@" &
server=$!
renew &
renewer=$!
trap 'kill -TERM $server' INT TERM
wait $server
status=$?
# A signal ends the wait as well: then the server may need a moment. If the server itself was ended by
# a signal, there is nothing left to wait for (127).
while [ $status -gt 128 ]; do
    wait $server
    again=$?
    [ $again -eq 127 ] && break
    status=$again
done
kill -TERM $renewer
wait $renewer
ask '' -X DELETE
exit $status

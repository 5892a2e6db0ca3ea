#!/bin/bash
# test_stop.sh - a cluster that is stopped lets commands end within their grace,
# and programs that wait are told what happened.
# shellcheck disable=SC2317 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
commander=$build/tests/cluster/commander

stop_one() # GRACE_MS: run a command, stop the cluster under it
{
    rm -f "$TMPDIR/file"
    "$covey" start --cpus 1 --store 64M -q
    "$commander" "$TMPDIR/file" "$1" >"$TMPDIR/commander.out" 2>&1 </dev/null &
    program=$!
    until_true grep -q x "$TMPDIR/file"
    run "$covey" stop
    wait $program
}

stop_one 4000
t 'stop' status_is 0
t 'a command has its grace' [ "$(cat "$TMPDIR/file")" = xy ]
t 'who waits is told what happened' grep -q '^why .*the cluster ended' "$TMPDIR/commander.out"
t 'and what to do' grep -q '^why .*covey start' "$TMPDIR/commander.out"
t 'covey_error() says the same' grep -q '^error .*the cluster ended' "$TMPDIR/commander.out"
t 'nothing is left' nothing_left default
stop_one 20
t 'a command with a short grace' status_is 0
t 'has no more' [ "$(cat "$TMPDIR/file")" = x ]
finish

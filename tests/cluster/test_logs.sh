#!/bin/bash
# test_logs.sh - covey logs TASK shows what that task printed and nothing else,
# though one worker ran hundreds of them.
# shellcheck disable=SC2317 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
printer=$build/tests/cluster/printer

# The id of the task of this name, once it is listed in this state.
id_of() # NAME STATE
{
    "$covey" list tasks --limit 1000 --state "$2" --json 2>/dev/null |
        sed -n "s/.*\"id\": \"\([^\"]*\)\".*\"name\": \"$1\".*/\1/p" | head -n 1
}
is_listed() { [ -n "$(id_of "$1" "$2")" ]; }
prints() # NAME LINE...: are these all the lines of it?
{
    name=$1
    shift
    run "$covey" logs "$(id_of "$name" "done")"
    status_is 0 && [ "$(sort "$out")" = "$(printf '%s\n' "$@" | sort)" ]
}

run "$covey" start --cpus 1 --store 64M -q
t 'start' status_is 0
"$printer" "$TMPDIR/go" >"$TMPDIR/printer.out" 2>&1 </dev/null &
program=$!
last_runs() { last=$(id_of last pushed); [ -n "$last" ] && run "$covey" logs "$last" && out_has 'last begins'; }
t 'logs of a task that runs' until_true last_runs
t 'nothing else' out_lines 1
"$covey" logs -f "$last" >"$TMPDIR/followed" 2>&1 </dev/null &
follower=$!
t 'logs -f of a task that runs' until_true grep -q 'last begins' "$TMPDIR/followed"
t 'its line is whole' until_true prints plain 'plain begins'
t 'what children print, on both streams' until_true prints child 'child begins' 'child of a child' 'child complains'
t 'a line without an end' until_true prints part 'part begins'
t 'standard error' until_true prints errors 'errors begins' 'errors on stderr'
run "$covey" logs "$(id_of silent "done")"
t 'silence: nothing' out_empty
t 'silence: says so' err_has 'has printed nothing'
run "$covey" logs --limit 10000 "$(id_of many "done")"
t 'a long log: all of it' out_lines 5001
t 'a long log: no line of others' bash -c "! grep -v '^long ' '$out'"
run "$covey" logs --limit 2 "$(id_of many "done")"
t '--limit: the last ones' both 'long line 4998 ' 'long line 4999 '
t '--limit: says what is left out' err_has '4999 lines before these'
touch "$TMPDIR/go"
wait $program
status=$?
t 'the program ends' status_is 0
wait $follower
status=$?
t 'logs -f ends with the task' status_is 0
t 'and has printed all of it' [ "$(cat "$TMPDIR/followed")" = "$(printf 'last begins\nlast ends')" ]
t 'the task that ended: the same' until_true prints last 'last begins' 'last ends'
run "$covey" logs t9.99999
t 'a task that nobody knows: 1' status_is 1
run "$covey" logs node
t 'logs node: what the daemon tells' out_has ' info  covey node: serves '
t 'logs node: that it joined' until_true bash -c "'$covey' logs node | grep -q 'has joined the head of epoch '"
t 'logs node: nothing of each process' bash -c "! '$covey' logs node | grep -q ' debug '"
run "$covey" logs head --limit 1
t 'logs head --limit' out_lines 1
run "$covey" stop
t 'stop' status_is 0
run "$covey" logs head
t 'logs of a cluster that has ended' out_has ' info  covey head: ends'
COVEY_LOG=debug run "$covey" start --cpus 1 --store 64M -q
t 'COVEY_LOG=debug' status_is 0
run "$covey" status
run "$covey" logs node
t 'each process is told' out_has ' debug covey node: process 1 enters'
run "$covey" stop
run "$covey" --name other logs head
t 'logs of a cluster that never was: 3' status_is 3
finish

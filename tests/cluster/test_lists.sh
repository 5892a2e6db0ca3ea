#!/bin/bash
# test_lists.sh - covey list and covey logs see what a program does.
# shellcheck disable=SC2016,SC2317 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
talker=$build/tests/cluster/talker

# The first value of KEY in the JSON rows of `covey list WHAT ...`.
value() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" "$out" | head -n 1; }

listed() # WHAT TEXT: does `covey list WHAT --json` show it?
{
    run "$covey" list "$1" --json
    status_is 0 && out_has "$2"
}

run "$covey" start --cpus 2 --store 64M -q
t 'start' status_is 0
"$talker" "$TMPDIR/go" >"$TMPDIR/talker.out" 2>&1 </dev/null &
program=$!
t 'list tasks shows the task' until_true listed tasks '"name": "talk"'
task=$(value id)
t 'its id is a task'\''s' [ "${task#t}" != "$task" ]
t 'and where it is' until_true listed tasks '"worker": "w'
worker=$(value worker)
t 'list workers shows that one' until_true listed workers "\"id\": \"$worker\""
t 'list workers shows one that runs' until_true listed workers '"state": "running"'
t 'list objects shows the object' until_true listed objects '"size_bytes": 1048576'
run "$covey" list workers --state running --json
t '--state: those in it' bash -c "grep -q '\"$worker\"' '$out' && ! grep -qE 'idle|starting' '$out'"
run "$covey" list workers --state blocked --json
t '--state: and no others' out_lines 1
run "$covey" status --json
t 'status counts the program' out_has '"clients": 1,'
printed() { run "$covey" logs "$worker"; out_has 'done talking'; }
t 'logs of the worker' until_true printed
t 'logs: lines in their order' [ "$(head -n 3 "$out" | tr '\n' ' ')" = 'talk 1 talk 2 talk 3 ' ]
run "$covey" logs --limit 1 "$worker"
t 'logs --limit 1: one line' out_lines 1
t 'logs --limit 1: says what is left out' err_has 'are not shown'
t 'the program shows what its tasks print' until_true grep -q 'talk 3' "$TMPDIR/talker.out"

"$covey" logs -f "$worker" >"$TMPDIR/followed" 2>&1 </dev/null &
follower=$!
t 'logs -f prints what there is' until_true grep -q 'done talking' "$TMPDIR/followed"
touch "$TMPDIR/go"
wait $program
status=$?
t 'the task ends when it may' status_is 0
t 'list tasks remembers it' until_true listed tasks '"state": "done"'
run "$covey" list tasks --state "done" --json
t 'under the same id' out_has "\"id\": \"$task\""
run "$covey" logs "$task"
t 'logs of a task: what it printed' out_has 'talk 3'
t 'logs of a task: and no more' out_lines 4
objects_gone() { run "$covey" list objects --json; out_lines 1; }
t 'the object is gone with its owner' until_true objects_gone

rm -f "$TMPDIR/go"
"$talker" "$TMPDIR/go" 200000 >"$TMPDIR/talker.out" 2>&1 </dev/null &
program=$!
t 'another program talks much' until_true listed workers '"state": "running"'
kill -9 $program
wait $program 2>/dev/null
idle() { run "$covey" status --json; out_has '"clients": 0,' && out_has '"leases": 0,' && out_has '"cpus_free": 2,'; }
t 'a killed program leaves nothing leased' until_true idle

run "$covey" stop
t 'stop' status_is 0
t 'nothing is left' nothing_left default
wait $follower
status=$?
t 'logs -f ends with the cluster' status_is 0
t 'and has printed all, in order' [ "$(head -n 3 "$TMPDIR/followed" | tr '\n' ' ')" = 'talk 1 talk 2 talk 3 ' ]

# A private cluster, and a program that is killed: nothing may stay.
rm -f "$TMPDIR/go"
"$talker" "$TMPDIR/go" >"$TMPDIR/talker.out" 2>&1 </dev/null &
program=$!
t 'a program without a cluster starts one' until_true grep -q 'talk 3' "$TMPDIR/talker.out"
kill -9 $program
wait $program 2>/dev/null
# That no process is left, either, is what the runner looks for.
no_private() { no_match "$COVEY_DIR"/private-*; }
t 'killed: its cluster is gone' until_true no_private

finish

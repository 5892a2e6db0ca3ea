#!/bin/bash
# test_sweep_view.sh - the live table of a sweep on a real terminal, its keys, and sweeps
# in the background.
# shellcheck disable=SC2317,SC2016 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$TMPDIR" || exit 1
terminal=$build/tests/cluster/terminal
ulimit -c 0
"$terminal" true </dev/null >"$out" 2>"$err"
if [ $? -eq 2 ]; then
    skip 'the live table' "no terminal can be had: $(cat "$err")"
    finish
fi

# A trial reports once; then it waits until FILE exists, and has its last words.
cat >wait.sh <<'TRIAL'
#!/bin/sh
trap 'echo "words of $COVEY_TRIAL_ID"; exit 143' TERM
echo "{\"loss\": 0.$((COVEY_TRIAL_ID + 1))}"
echo "hello from $COVEY_TRIAL_ID"
while [ ! -e go ]; do sleep 0.02; done
TRIAL
chmod +x wait.sh
cat >wait.yaml <<'YAML'
name: wait
method: random
metric: {name: loss}
parameters:
  lr: {min: 0.0, max: 1.0}
command: [./wait.sh]
run_cap: 4
covey: {parallel: 2, report: stdout, grace: 5s}
YAML
in_terminal() # COMMAND...; the steps come from standard input
{
    "$terminal" "$@" >"$out" 2>"$err"
    status=$?
    shown=
}
shown() { [ "$("$covey" sweep show "$1" --json | grep -c "\"state\": \"$2\"")" -eq "$3" ]; }

# Keys
in_terminal "$covey" sweep run wait.yaml --dir keys <<'STEPS'
want best: loss 0.1
want 2 running
keys
send x\e[A\e[qyz
send ?
want the last lines of trial N's log
send l 1\r
want hello from 1
send s 9\r
want there is no trial 9
send s nine\r
want want the number of a trial
send p
want no new trials start
send s 1\r
want trial 1 cancelled
want 1 running
want 1 cancelled
size 40 10
want 1 running
send s 1\r
want trial 1 is cancelled already
size 80 24
send p
want new trials start again
want 2 running
send q
want stopping
lines
want in /
end 130
STEPS
t 'keys on a terminal' status_is 0
t 'a trial that was stopped has had its grace' grep -q 'words of 1' keys/trials/0001/log
t 'its end is in the record' shown keys cancelled 1
t 'the others run again' shown keys waiting 2
touch go
run "$covey" sweep resume keys
t 'resume goes on' status_is 0
t 'but not with the one that was stopped' shown keys cancelled 1
t 'and all others are complete' shown keys complete 3
t 'it began once' eval '[ "$(grep -c hello keys/trials/0001/log)" -eq 1 ]'
t 'the summary tells' out_has '3 complete, 0 stopped early, 0 paused, 0 failed, 1 cancelled'
rm -f go

# Job control: Ctrl-Z gives the terminal back, fg goes on.
in_terminal sh -i <<STEPS
send PS1=; $covey sweep run wait.yaml --dir zed\r
want 2 running
keys
send \z
want Stopped
send stty -a | grep -q -e -icanon || echo whole-\$((40 + 2))\r
want whole-42
send fg\r
want 2 running
send q
want in /
send exit \$?\r
end 130
STEPS
t 'Ctrl-Z and fg' status_is 0

# The terminal is given back however the runner ends.
died() # SIGNAL NUMBER
{
    in_terminal sh -i <<STEPS
send PS1=; $covey sweep run wait.yaml --dir sig$1\r
want 2 running
keys
signal $2 sig$1/runner.pid
lines
send stty -a | grep -q -e -icanon || echo whole-\$((40 + 2))\r
want whole-42
send exit\r
end 0
STEPS
    status_is 0
}
t 'the terminal is whole after SIGQUIT' died QUIT 3
t 'after SIGABRT' died ABRT 6
t 'after SIGTERM' died TERM 15
in_terminal "$covey" sweep run wait.yaml --dir hup <<'STEPS'
want 2 running
keys
signal 1
lines
end 130
STEPS
t 'SIGHUP ends it as Ctrl-C' status_is 0
t 'its trials run again' shown hup waiting 2

# Ctrl-C as q: first with time to save, then at once.
cat >deaf.sh <<'TRIAL'
#!/bin/sh
trap : TERM
echo '{"loss": 1}'
while :; do sleep 0.05; done
TRIAL
chmod +x deaf.sh
sed 's/wait.sh/deaf.sh/; s/grace: 5s/grace: 100s/' wait.yaml >deaf.yaml
in_terminal "$covey" sweep run deaf.yaml --dir deaf --count 1 <<'STEPS'
want best: loss 1
send \c
want stopping
want q again kills it
send \c
end 130
STEPS
t 'Ctrl-C twice' status_is 0
t 'and its trial runs again' shown deaf waiting 1

# In the background
run "$covey" sweep run wait.yaml --dir behind --detach
t 'run --detach' status_is 0
t 'says where' out_has "$PWD/behind"
t 'and nothing else' out_lines 1
started() { grep -q 'hello from 1' behind/trials/0001/log; }
t 'it runs' until_true started

# Its cluster is its own; who looks for any is told of it.
for what in status 'list tasks' 'logs w1'; do
    # shellcheck disable=SC2086
    run "$covey" $what
    t "$what: no cluster of that name" eval "status_is 3 && err_has \"no cluster 'default' is running\""
    t "$what: but a sweep runs" err_has "The sweep in $PWD/behind runs with a cluster of its own: covey sweep attach $PWD/behind"
done
name=$(sed -n 's/.* --name \(private-[^ ]*\)$/\1/p' "$err")
run "$covey" status --name "$name"
t 'status shows its cluster by the name' out_has "cluster '$name'"
run env COVEY_NAME="$name" "$covey" list workers --state running --json
t 'list by COVEY_NAME' out_has '"state": "running"'
worker=$(sed -n 's/.*"id": "\(w[0-9]*\)".*/\1/p' "$out" | head -n 1)
run "$covey" logs --name "$name" "$worker"
t 'logs' status_is 0
t 'for nobody else' [ "$(stat -c %a "$COVEY_DIR/$name")" = 700 ]
in_terminal "$covey" sweep attach behind <<'STEPS'
want 2 running
keys
send p
want works where the sweep runs
send q
lines
end 0
STEPS
t 'attach shows it, q leaves' status_is 0
"$covey" sweep attach behind >attached 2>&1 </dev/null &
follower=$!
t 'attach without a terminal' until_true grep -q 'watching .*behind, of which 2 trials' attached
touch go
wait $follower
t 'attach ends with the sweep, and as it does' test $? -eq 0
t 'plain lines without a terminal' grep -q 'trial 3 complete' attached
t 'all is complete' shown behind complete 4
t 'its output is in runner.log' grep -q 'trial 0 complete' behind/runner.log
rm -f go
run "$covey" sweep run wait.yaml --dir behind2 --detach
"$covey" sweep attach behind2 >attached 2>&1 </dev/null &
follower=$!
until_true grep -q watching attached
run "$covey" sweep stop behind2
wait $follower
t 'attach tells that it was stopped' test $? -eq 130
run "$covey" sweep attach behind2
t 'also later' status_is 130
run "$covey" sweep resume behind2 --detach
t 'resume --detach' status_is 0
kill -KILL "$(cat behind2/runner.pid)"
run "$covey" sweep attach behind2
t 'a runner that was killed is told' err_has 'nobody runs the sweep'
run "$covey" sweep run wait.yaml --dir behind --detach
t 'what is wrong is told in the foreground' err_has 'exists already'
t 'with its status' status_is 2
run env COVEY_ADDRESS=local:nowhere "$covey" sweep run wait.yaml --dir behind3 --detach
t 'no cluster is told, too' err_has 'no cluster'
t 'with its status, too' status_is 1
run "$covey" sweep create wait.yaml --dir behind4
touch behind4/python
run "$covey" sweep resume behind4 --detach
t 'what keeps it from beginning is told' err_has 'behind4/python'
t 'with its status once more' status_is 1
run "$covey" sweep attach nowhere
t 'no sweep there' status_is 2
run "$covey" start --cpus 4 --gpus 3 -q
sed 's/parallel: 2, //' wait.yaml >devices.yaml
touch go
run "$covey" sweep run devices.yaml --dir devices
t 'a trial takes a GPU where there are some' err_has 'each trial takes 1 CPU and 1 GPU, so 3 run at once'
run "$covey" stop
finish

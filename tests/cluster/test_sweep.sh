#!/bin/bash
# test_sweep.sh - covey sweep: runs, stops early, is killed and goes on, and lets
# others run its trials.
# shellcheck disable=SC2317,SC2016 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$TMPDIR" || exit 1

# A trainer in sh, of this length in steps: its loss is lr + 1/step.  It goes on from
# its checkpoint, and says by a file that it has begun.  With $ASKS it waits for the
# answer to each report: killed before it has saved, it does that step again.
cat >train.sh <<'TRAINER'
#!/bin/sh
lr=${1#--lr=}
step=$(cat "$COVEY_CHECKPOINT_DIR/step" 2>/dev/null || echo 0)
echo "$COVEY_TRIAL_ID" >>begun
while [ "$step" -lt "$STEPS" ]; do
    step=$((step + 1))
    loss=$(awk -v s="$step" -v lr="$lr" 'BEGIN { printf "%.6f", lr + 1 / s }')
    if [ -n "$ASKS" ]; then
        "$COVEY_BIN" report "step=$step" "loss=$loss" >/dev/null || exit 0
    else
        echo "{\"step\": $step, \"loss\": $loss}"
    fi
    echo "$step" >"$COVEY_CHECKPOINT_DIR/step"
    sleep "$PAUSE"
done
echo "done with $step"
TRAINER
chmod +x train.sh
sweep() # NAME SCHEDULER PARALLEL
{
    cat >"$1.yaml" <<YAML
name: $1
method: random
metric: {name: loss, goal: minimize}
parameters:
  lr: {min: 0.0, max: 1.0}
command: [./train.sh, '\${args}']
run_cap: 9
covey: {scheduler: $2, parallel: $3, report: stdout, seed: 3}
YAML
}
export STEPS=9 PAUSE=0.02 ASKS='' COVEY_BIN=$covey
shown() { [ "$("$covey" sweep show "$1" --json | grep -c "\"state\": \"$2\"")" -eq "$3" ]; }

# A whole sweep
sweep plain '{type: none}' 2
run "$covey" sweep run plain.yaml --dir plain
t 'run ends well' status_is 0
t 'its directory is said first' grep -q '^sweep in .*plain$' "$err"
t 'all trials are complete' shown plain complete 9
t 'the best is told' both 'best: loss 0.2' '  lr = '
t 'a line of each report' eval '[ "$(wc -l <plain/results.jsonl)" -eq 81 ]'
t 'a row of each trial' eval '[ "$(wc -l <plain/trials.csv)" -eq 10 ]'
t 'the log of a trial' grep -q 'done with 9' plain/trials/0000/log
t 'its parameters' grep -q '"lr"' plain/trials/0000/params.json
run "$covey" sweep best plain --json
t 'best --json' both '"value_step": 9' '"params": {"lr":'
run "$covey" sweep run plain.yaml --dir plain
t 'a directory that exists is refused' status_is 2
t 'and what to do is said' err_has 'covey sweep resume'

# Without a command nothing is tried
sed '/^command/d' plain.yaml >none.yaml
run "$covey" sweep run none.yaml --dir none
t 'a file without a command is refused' err_has 'the command has ${program}, and the file no `program`'
t 'before a trial fails for it' eval '[ ! -e none/trials/0000 ]'

# The same seed, the same parameters; another one, others.
run "$covey" sweep run plain.yaml --dir again --count 2
t 'the same seed, the same parameters' cmp -s plain/trials/0001/params.json again/trials/0001/params.json
run "$covey" sweep run plain.yaml --dir other --count 2 --seed 4
t 'another seed, others' eval '! cmp -s plain/trials/0001/params.json other/trials/0001/params.json'
t 'no more than --count' eval '[ ! -e other/trials/0002 ]'

# Of nine the two best keep their checkpoints, whichever run they come from
sed 's/covey: {/covey: {checkpoints: 2, /' plain.yaml >few.yaml
best_two()
{
    "$covey" sweep show few --json | sed -n 's/.*"trial": \([0-9]*\),.*"value": \([^,]*\),.*/\2 \1/p' |
        sort -g | head -n 2 | while read -r _ trial; do printf 'few/trials/%04d/checkpoint\n' "$trial"; done | sort
}
keep_two() { [ "$(ls -d few/trials/*/checkpoint)" = "$(best_two)" ]; }
run "$covey" sweep run few.yaml --dir few --count 5
t 'checkpoints: 2 keeps those of the two best' keep_two
run "$covey" sweep resume few --set run_cap=9
t 'also after a resume' both 'few' '9 trials'
t 'which may have found better ones' keep_two

# Early stopping, with and without pauses
sweep asha '{type: asha, max_iter: 9, min_iter: 1, eta: 3}' 2
run "$covey" sweep run asha.yaml --dir asha
t 'asha ends well' status_is 0
t 'and stops some early' eval '! shown asha stopped 0'
t 'fewer reports' eval '[ "$(wc -l <asha/results.jsonl)" -lt 81 ]'
sweep promote '{type: asha_promotion, max_iter: 9, min_iter: 1, eta: 3}' 2
run "$covey" sweep run promote.yaml --dir promote
t 'promotion ends well' status_is 0
t 'the best got everything' eval '! shown promote complete 0'
t 'the others pause' eval '! shown promote paused 0'
t 'a promoted one went on from its checkpoint' eval \
    '[ "$(sort promote/results.jsonl | uniq -d | wc -l)" -eq 0 ]'
sweep bands '{type: hyperband, max_iter: 9, eta: 3}' 2
sed -i 's/run_cap: 9/run_cap: 100/' bands.yaml
run "$covey" sweep run bands.yaml --dir bands
t 'hyperband ends by itself' status_is 0
t 'after all its brackets: 9 + 5 + 3 trials' eval '[ "$("$covey" sweep show bands --json | grep -c trial)" -eq 17 ]'

# kill -9 of the runner, then resume
sweep killed '{type: none}' 2
export ASKS=yes
rm -f begun
PAUSE=0.05 "$covey" sweep run killed.yaml --dir killed -q >run.out 2>&1 </dev/null &
runner=$!
some_ended() { ! shown killed complete 0; }
t 'some trials have ended' until_true some_ended
kill -KILL $runner
wait $runner 2>/dev/null
gone() { [ "$(pgrep -fc 'train.sh --lr=')" -eq 0 ]; }
t 'its trials are gone with it' until_true gone
ended=$("$covey" sweep show killed --json | sed -n 's/.*"trial": \([0-9]*\), "state": "complete".*/\1/p')
t 'the record has what ended' test -n "$ended"
run "$covey" sweep resume killed
t 'resume ends well' status_is 0
t 'all trials are complete now' shown killed complete 9
once() { for trial in $ended; do [ "$(grep -cx "$trial" begun)" -eq 1 ] || return 1; done; }
t 'what had ended did not run again' once
t 'no report twice, none lost' eval '[ "$(wc -l <killed/results.jsonl)" -eq 81 ]'
run "$covey" sweep resume killed --set run_cap=11
t 'a larger budget' shown killed complete 11

export ASKS=

# Ctrl-C, and stop
PAUSE=0.2 "$covey" sweep run plain.yaml --dir stopped -q >run.out 2>&1 </dev/null &
runner=$!
one_reports() { [ -s stopped/results.jsonl ]; }
t 'it runs' until_true one_reports
run "$covey" sweep stop stopped
t 'stop finds it' status_is 0
wait $runner
t 'it says how it ended' test $? -eq 130
t 'and how to go on' grep -q 'covey sweep resume' run.out
run "$covey" sweep stop stopped
t 'nobody is left to stop' status_is 1

# Failures
sed 's/command: .*/command: [sh, -c, "echo no luck; exit 3"]/' plain.yaml >storm.yaml
run "$covey" sweep run storm.yaml --dir storm
t 'a storm of failures ends the sweep' status_is 1
t 'with the last lines of the first' err_has 'no luck'
sed 's/command: .*/command: [sh, -c, "exit 0"]/' plain.yaml >silent.yaml
run "$covey" sweep run silent.yaml --dir silent
t 'no metric is a failure that is told' err_has 'never reported "loss"'
sed 's/min: 0.0/minimum: 0.0/' plain.yaml >wrong.yaml
run "$covey" sweep run wrong.yaml --dir wrong
t 'a wrong file is refused' status_is 2
t 'with its line' err_has 'wrong.yaml:5:'
t 'and nothing is made' test ! -e wrong
run "$covey" sweep show nowhere
t 'no sweep there' status_is 2
run "$covey" sweep rum plain.yaml
t 'the nearest action is named' err_has 'did you mean run?'

# A runner that was killed leaves its number, which may be anybody's by now.
run "$covey" sweep create plain.yaml --dir stale
mkfifo held
flock stale/lock sh -c 'echo >held; exec sleep 100' &
holder=$!
read -r _ <held
sleep 100 &
stranger=$!
echo $stranger >stale/runner.pid
run "$covey" sweep stop stale
t 'stop signals nobody but the runner' status_is 1
kill $stranger
wait $stranger 2>/dev/null
pkill -P $holder
wait $holder 2>/dev/null

long=$(printf '%05000d' 0 | sed 's,0\{50\},&/,g')
run "$covey" sweep create plain.yaml --dir "$long"
t 'a path that is too long is none that is shorter' err_has "name too long"
t 'and nothing of it is made' test ! -e "${long%%/*}"

# Ask and tell
run "$covey" sweep create plain.yaml --dir asked --count 2
t 'create' status_is 0
run "$covey" sweep ask asked
t 'ask' both '{"trial": 0, "params": {"lr":' '"checkpoint": "'
run "$covey" sweep tell asked --trial 0 --step 1 loss=0.5
t 'tell' out_has '{"stop": false}'
run "$covey" sweep tell asked --trial 4294967296 loss=0.1
t 'a trial that is not there is none that is' status_is 2
run "$covey" sweep tell asked --trial 0 loss=.45
t 'a number as C and awk write them' status_is 0
run "$covey" sweep tell asked --trial 0 --step 9223372036854775807 loss=0.1
t 'a step without a successor is refused' err_has 'at most'
run "$covey" sweep tell asked --trial 0 loss=nan
t 'a loss that is no number any more' status_is 0
t 'results.jsonl is JSON all the same' grep -q '"metrics":{"loss":"NaN","step":' asked/results.jsonl
run "$covey" sweep simulate plain.yaml --curves asked
t 'and a report of its curve' out_has 'steps      3 of 3'
run "$covey" sweep tell asked --trial 0 loss=0.4 --done
t 'tell it is done' status_is 0
run "$covey" sweep tell asked --trial 0 loss=0.4
t 'it is over' err_has 'does not run'
run "$covey" sweep ask asked
run "$covey" sweep tell asked --trial 1 --step 4503599627370496 loss=1
t 'the last step there is' status_is 0
run "$covey" sweep tell asked --trial 1 loss=1
t 'has none behind it' err_has '"step" is to be at most 4503599627370496'
run "$covey" sweep tell asked --trial 1 --failed
run "$covey" sweep ask asked
t 'nothing is left' status_is 10
t 'one is complete' shown asked complete 1
t 'one has failed' shown asked failed 1

# Looking ahead
run "$covey" sweep preview bands.yaml
t 'preview shows rungs' both '9 @ 1' '3 @ 3'
finish

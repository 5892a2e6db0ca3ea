#!/bin/bash
# test_sweep_copies.sh - large checkpoints are copied while the sweep goes on, and a runner
# that ends in the middle leaves the old ones or the whole new ones.
# shellcheck disable=SC2317,SC2016,SC2012 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$TMPDIR" || exit 1
ulimit -c 0

# Trial 0 has a checkpoint of many files and is judged at once.  Trial 1 reports as often as it
# can until trial 0 has its answer, then it is judged, and goes on as a clone of trial 0.
cat >member.sh <<'MEMBER'
#!/bin/bash
dir=$COVEY_CHECKPOINT_DIR
now() { echo "${EPOCHREALTIME/[.,]/}"; }
report() # FILE STEP: how long it took, in ms
{
    before=$(now)
    "$COVEY_BIN" report loss="$COVEY_TRIAL_ID" step="$2" >/dev/null || exit 0
    echo "$((($(now) - before) / 1000))" >>"$1"
}
if [ "$COVEY_TRIAL_ID" = 0 ]; then
    if [ ! -e "$dir/whole" ]; then
        for i in {0..99}; do mkdir -p "$dir/$i"; done
        (cd "$dir" && seq "$FILES" | awk '{ file = $1 % 100 "/f" $1; print "weights" >file; close(file) }')
        touch "$dir/whole"
    fi
    report "$OUT.judged" 1000
    touch "$OUT.answered"
    until [ -e "$OUT.cloned" ]; do sleep 0.05; done
elif [ -e "$dir/whole" ]; then
    find "$dir" -name 'f*' | wc -l >"$OUT.cloned"
else
    for step in {1..999}; do
        report "$OUT.asked" "$step"
        [ ! -e "$OUT.answered" ] || break
        sleep 0.02
    done
    report "$OUT.asked" 1000
fi
report "$OUT.last" 2000
MEMBER
chmod +x member.sh
export COVEY_BIN=$covey FILES=6000
cat >copies.yaml <<YAML
name: copies
method: random
metric: {name: loss}
parameters: {lr: {min: 0.0, max: 1.0}}
command: [$PWD/member.sh]
run_cap: 2
covey:
  parallel: 2
  seed: 5
  grace: 5
  leave: 5
  resources: {cpus: 0.5}
  scheduler: {type: pbt, population: 2, interval: 1000, quantile: 0.5, max_iter: 2000}
YAML
shown() { [ "$("$covey" sweep show "$1" --json | grep -c "\"state\": \"$2\"")" -eq "$3" ]; }
largest() { sort -n "$1" | tail -n 1; }
files_in() { find "$1" -name 'f*' 2>/dev/null | wc -l; }
copying() { readlink "$1"/copies/* 2>/dev/null | grep -qx "$2"; }
begin() # DIRECTORY: in the background
{
    OUT=$PWD/$1 "$covey" sweep run copies.yaml --dir "$1" >"$1.out" 2>&1 </dev/null &
    runner=$!
}

# ---- the sweep goes on --------------------------------------------------------------
OUT=$PWD/calm run "$covey" sweep run copies.yaml --dir calm
t 'a sweep with a checkpoint of many files ends well' status_is 0
t 'both members get all their steps' shown calm complete 2
t 'one began with all of the other'"'"'s files' test "$(cat calm.cloned)" -eq $FILES
judged=$(largest calm.judged) asked=$(largest calm.asked)
echo "# the copy took $judged ms, the slowest answer meanwhile $asked ms"
t 'reports of others are answered while one is copied' test $((asked * 2)) -lt "$judged"
t 'many of them' test "$(wc -l <calm.asked)" -gt 10
t 'nothing is to be copied any more' test -z "$(ls -A calm/copies)"
t 'no half of a copy is left' no_match "$(echo calm/trials/*/*.new)"

# ---- the runner is killed in the middle of a snapshot, and of a clone ----------------------
begin killed
t 'a snapshot is taken' until_true copying killed 'snapshot 0'
kill -KILL $runner
wait $runner 2>/dev/null
t 'the runner is killed in the middle of it' copying killed 'snapshot 0'
t 'no half of one is taken for a snapshot' no_match killed/trials/0000/snapshot
OUT=$PWD/killed "$covey" sweep resume killed >killed.out 2>&1 </dev/null &
runner=$!
t 'resume goes on until it is cloned' until_true copying killed 'clone 1 0'
kill -KILL $runner
wait $runner 2>/dev/null
t 'the runner is killed in the middle of that' copying killed 'clone 1 0'
t 'the snapshot was whole' test "$(files_in killed/trials/0000/snapshot)" -eq $FILES
t 'what is half a clone is no checkpoint' test "$(files_in killed/trials/0001/checkpoint)" -eq 0
OUT=$PWD/killed run "$covey" sweep resume killed
t 'resume ends well' status_is 0
t 'with the clone of all files' test "$(cat killed.cloned)" -eq $FILES
t 'both are complete' shown killed complete 2
t 'and nothing is left to be copied' test -z "$(ls -A killed/copies)"

# ---- Ctrl-C in the middle -------------------------------------------------------------------
begin stopped
t 'a snapshot is taken again' until_true copying stopped 'snapshot 0'
before=${EPOCHREALTIME/[.,]/}
kill -INT $runner
wait $runner
t 'Ctrl-C ends it' test $? -eq 130
took=$(((${EPOCHREALTIME/[.,]/} - before) / 1000))
echo "# after $took ms"
t 'before the copy would have' test $took -lt "$judged"
t 'what it did not copy is noted' copying stopped 'snapshot 0'
t 'its members wait' shown stopped waiting 2
OUT=$PWD/stopped run "$covey" sweep resume stopped
t 'resume copies it' test "$(files_in stopped/trials/0000/snapshot)" -eq $FILES
t 'and goes on to the end' shown stopped complete 2
t 'each step is reported once' test -z "$(grep -o '"trial":[0-9]*,"step":[0-9]*' stopped/results.jsonl | sort | uniq -d)"

# ---- what is not kept ---------------------------------------------------------------------------
# Both are over, and say nothing of it, when their runner is killed.
cat >ended.yaml <<YAML
name: ended
method: random
metric: {name: loss}
parameters: {lr: {min: 0.0, max: 1.0}}
command: [sh, -c, 'touch \$COVEY_CHECKPOINT_DIR/x; $covey report loss=\$COVEY_TRIAL_ID step=1 || { touch told.\$COVEY_TRIAL_ID; exec sleep 60; }']
run_cap: 2
covey: {parallel: 2, leave: 60, resources: {cpus: 0.5}, checkpoints: 1, scheduler: {type: asha, max_iter: 1}}
YAML
"$covey" sweep run ended.yaml --dir ended >ended.out 2>&1 </dev/null &
runner=$!
t 'both are told to end' until_true eval '[ -e told.0 ] && [ -e told.1 ]'
kill -KILL $runner
wait $runner 2>/dev/null
run "$covey" sweep resume ended
t 'resume finds them complete' shown ended complete 2
t 'the best keeps its checkpoint' test -e ended/trials/0000/checkpoint/x
t 'the other does not' test ! -e ended/trials/0001/checkpoint

# ---- asked, and a full disk --------------------------------------------------------------------
sed 's/interval: 1000/interval: 1/' copies.yaml >asked.yaml
asked() # DIRECTORY: until trial 1 is to be cloned from trial 0
{
    "$covey" sweep create asked.yaml --dir "$1" -q &&
        "$covey" sweep ask "$1" && "$covey" sweep ask "$1" &&
        head -c 3000000 /dev/zero >"$1/trials/0000/checkpoint/weights" &&
        echo own >"$1/trials/0001/checkpoint/weights" &&
        "$covey" sweep tell "$1" --trial 0 --step 1 loss=0 &&
        "$covey" sweep tell "$1" --trial 1 --step 1 loss=1 &&
        "$covey" sweep tell "$1" --trial 1 --done
}
cloned() { cmp "$1"/trials/000{0,1}/checkpoint/weights; }
run asked asked
t 'who tells is told to stop' out_has '{"stop": true}'
t 'its checkpoint is kept before that' cmp asked/trials/0000/{checkpoint,snapshot}/weights
run "$covey" sweep ask asked
t 'who asks next gets the clone' out_has '{"trial": 1,'
t 'with its checkpoint' cloned asked
if mkdir full && mount -t tmpfs -o size=8m covey-test full 2>/dev/null; then
    run asked full/s
    run "$covey" sweep ask full/s
    t 'a clone that the disk has no room for is an error' status_is 1
    t 'with the paths and the reason' err_has "/full/s/trials/0001/checkpoint: No space left on device"
    t 'it has its own checkpoint until then' grep -q own full/s/trials/0001/checkpoint/weights
    mount -o remount,size=32m full
    run "$covey" sweep ask full/s
    t 'with room the clone is made' out_has '{"trial": 1,'
    t 'of the whole checkpoint' cloned full/s
    umount full
else
    skip 'a full disk' 'mount needs root'
fi

finish

#!/bin/bash
# test_sweep_run.sh - sweeps as the world is: trials that take over others' checkpoints,
# full disks, directories that vanish, programs that misbehave.
# shellcheck disable=SC2317,SC2016 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$TMPDIR" || exit 1
ulimit -c 0

shown() { [ "$("$covey" sweep show "$1" --json | grep -c "\"state\": \"$2\"")" -eq "$3" ]; }
sweep() # NAME COMMAND MORE: one parameter, 4 trials, 2 at once
{
    cat >"$1.yaml" <<YAML
name: $1
method: random
metric: {name: loss}
parameters:
  lr: {min: 0.0, max: 1.0}
command: $2
run_cap: 4
covey: {parallel: 2, seed: 5, $3}
YAML
}

# ---- PBT ----------------------------------------------------------------------
# Its checkpoint is the list of who did which step.  A bad lr is bad from the start.
cat >member.sh <<'MEMBER'
#!/bin/sh
lr=${1#--lr=}
file=$COVEY_CHECKPOINT_DIR/history
[ ! -e "$file" ] || read -r step <"$COVEY_CHECKPOINT_DIR/step"
while [ "${step:=0}" -lt 12 ]; do
    step=$((step + 1))
    echo "$COVEY_TRIAL_ID $step" | tee -a executed >>"$file"
    echo "$step" >"$COVEY_CHECKPOINT_DIR/step"
    loss=$(awk -v s="$step" -v lr="$lr" 'BEGIN { printf "%.6f", 10 * lr + 1 / s }')
    "$COVEY_BIN" report loss="$loss" step="$step" >/dev/null || exit 0
done
MEMBER
chmod +x member.sh
export COVEY_BIN=$covey
sweep pbt '[./member.sh, "${args}"]' 'scheduler: {type: pbt, population: 8, interval: 3, max_iter: 12}'
run "$covey" sweep run pbt.yaml --dir pbt
t 'a PBT sweep ends well' status_is 0
t 'no more members than run_cap' test ! -e pbt/trials/0004
t 'all get all their steps' shown pbt complete 4
# Each history is the steps 1 ... 12, by whomever; what a clone did comes after its donor's.
contiguous() { for i in 0 1 2 3; do cut -d' ' -f2 pbt/trials/000$i/checkpoint/history | diff -q - <(seq 12) || return 1; done; }
t 'no step is missing from a checkpoint, none is there twice' contiguous
foreign() { for i in 0 1 2 3; do grep -v "^$i " pbt/trials/000$i/checkpoint/history; done; }
t 'clones have their checkpoints from others' test -n "$(foreign)"
handed() # the last step of each donor's part is at an interval
{
    for i in 0 1 2 3; do
        awk 'who != "" && $1 != who && last % 3 { exit 1 } { who = $1; last = $2 }' \
            pbt/trials/000$i/checkpoint/history || return 1
    done
}
t 'taken over as they were when they were judged' handed
reported() { sed 's/.*"trial":\([0-9]*\),"step":\([0-9]*\),.*/\1 \2/' pbt/results.jsonl; }
t 'every step that was done is reported, also those of clones that went back' \
    diff <(sort executed) <(reported | sort)
t 'the best is shown with the parameters that made it' eval \
    '"$covey" sweep best pbt | awk "/best:/ {v = \$3; s = \$6} / lr = / {d = v - 10 * \$3 - 1 / s; exit !(d < 1e-5 && d > -1e-5)}"'
finish

#!/bin/bash
# test_sweep_fashion.sh - examples/fashion_mnist: its trainers, on a few of the real
# images, alone and in each of its sweeps.
# shellcheck disable=SC2317,SC2016 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$TMPDIR" || exit 1
export OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
train=$build/examples/fashion_mnist/train
files=$top/examples/fashion_mnist

# ---- the trainer alone -----------------------------------------------------------------

run "$train" --images=600 --epochs=3
t 'it prints each epoch' out_lines 3
t 'and learns' grep -qE 'epoch 3: accuracy 0\.[5-9]' "$out"
run "$train" --images=600 --epochs=1 --test
t 'the test images' out_has 'on the test images: 0.'
for bad in --lr=fast --width=0 --depth=1.5 --batch=501 --nothing=1 word; do
    run "$train" --images=600 --epochs=1 $bad
    t "$bad: status 2" status_is 2
    t "$bad: nothing is printed as a result" out_empty
done

# Begun again from a checkpoint it ends with the very network of one that was never cut off.
few=(--images=600 --width=64 --depth=2 --decay=1e-4)
for epochs in 6 2; do
    mkdir checkpoint-$epochs
    run env COVEY_CHECKPOINT_DIR=checkpoint-$epochs "$train" "${few[@]}" --epochs=$epochs
done
run env COVEY_CHECKPOINT_DIR=checkpoint-2 "$train" "${few[@]}" --epochs=6
t 'it goes on after the epoch of its checkpoint' both 'epoch 2:' 'epoch 3:'
t 'and not before it' eval '! out_has "epoch 1:"'
t 'and ends with the same network' cmp checkpoint-2/network checkpoint-6/network

# Cut off at no matter which instant, and every epoch is as it would have been.
run "$train" "${few[@]}" --epochs=40
sort "$out" >whole
mkdir checkpoint
export COVEY_CHECKPOINT_DIR=$TMPDIR/checkpoint
killed() # SIGNAL STATUS EPOCH: after that epoch
{
    "$train" "${few[@]}" --epochs=100000 >cut.out 2>cut.err &
    until_true grep -q "^epoch $3:" cut.out
    kill "-$1" $!
    wait $! 2>/dev/null
    [ $? -eq "$2" ]
}
t 'SIGTERM: it leaves with 143' killed TERM 143 5
t 'of its own accord' grep -q '^train: SIGTERM in epoch' cut.err
t 'kill -9' killed KILL 137 20
begins_at() { tr -d : <cut.out | awk 'NR == 1 { exit !($2 >= 5) }'; }
t 'it had gone on from where it was' begins_at
t 'kill -9 again' killed KILL 137 30
as_whole() { awk '{ sub(":", "", $2); $2 += 0 } $2 <= 40 { print $1, $2 ":", $3, $4 }' cut.out | sort | comm -23 - whole; }
t 'every epoch is as without' test -z "$(as_whole)"
run "$train" --images=600 --width=32
t 'a checkpoint of another network is refused' err_has 'no checkpoint of a network of this shape'
: >checkpoint/network
run "$train" "${few[@]}"
t 'so is half a one' status_is 2
unset COVEY_CHECKPOINT_DIR

# ---- its sweeps --------------------------------------------------------------------------

for name in sweep wandb pbt torch; do
    run "$covey" sweep preview "$files/$name.yaml"
    t "$name.yaml: preview" status_is 0
    t "$name.yaml: nothing to warn of" err_empty
done
run "$covey" sweep preview "$files/sweep.yaml"
t 'sweep.yaml: its rungs' both '64 @ 1' '@ 9'

# As it is, but with few images and epochs.
small() # NAME SED...
{
    name=$1
    shift
    sed -e "s|build/examples|$build/examples|; s|examples/fashion_mnist/train\\.py|$files/train_plain.py|" \
        -e 's/value: 12000/value: 600/; s/value: 6000/value: 240/' "$@" "$files/$name.yaml" >"$name.yaml"
}
shown() { [ "$("$covey" sweep show "$1" --json | grep -c "\"state\": \"$2\"")" -eq "$3" ]; }
# Is what `best` says the highest accuracy that was reported?
best_is_best()
{
    highest=$(sed 's/.*"accuracy": *\([0-9.]*\).*/\1/' "$1/results.jsonl" | sort -g | tail -n 1)
    "$covey" sweep best "$1" --json | grep -o '"value": [0-9.]*' | awk -v h="$highest" \
        '{ d = $2 - h; exit !(d < 1e-9 && d > -1e-9) }'
}

small sweep -e 's/value: 27/value: 9/; s/max_iter: 27/max_iter: 9/; s/run_cap: 64/run_cap: 12/'
run "$covey" sweep run sweep.yaml --dir asha
t 'sweep.yaml runs' status_is 0
t 'some trials stop early' eval '! shown asha stopped 0'
t 'some run to the end' eval '! shown asha complete 0'
t 'none fails' shown asha failed 0
t 'it says what that saved' grep -qE 'early stopping: [0-9]+ steps instead of the 108 .* % saved' "$out"
t 'and the best' both 'best: accuracy 0.' '  momentum = '
t 'which is the best' best_is_best asha

# One trial is killed and tried again: no epoch is reported twice, none is missing.
tag=$$                          # by which its process is found
small sweep -e 's/value: 27/value: 250/; s/scheduler: .*/retries: 1/; s/run_cap: 64/run_cap: 1/' \
    -e "s/^parameters:/parameters:\\n  seed: {value: $tag}/"
"$covey" sweep run sweep.yaml --dir retry -q >retry.out 2>&1 </dev/null &
runner=$!
reports() { [ "$(wc -l <retry/results.jsonl)" -ge 10 ]; }
t 'a trial reports' until_true reports
t 'it is killed' pkill -KILL -f -- "^$train .*--seed=$tag "
wait $runner
t 'its sweep ends well' test $? -eq 0
t 'it ran twice' eval '"$covey" sweep show retry --json | grep -q "\"runs\": 2,"'
t 'each epoch is reported once' eval '[ "$(sed "s/.*\"step\":\([0-9]*\),\"time.*/\1/" retry/results.jsonl |
    sort -n | uniq | wc -l)" -eq 250 ] && [ "$(wc -l <retry/results.jsonl)" -eq 250 ]'

small wandb -e 's/value: 27/value: 9/; s/max_iter: 27/max_iter: 9/; s/ s: 3/ s: 2/; s/run_cap: 64/run_cap: 8/'
run "$covey" sweep run wandb.yaml --dir wandb --seed 1
t 'wandb.yaml runs' status_is 0
t 'wandb.yaml: the best is found' best_is_best wandb
t 'wandb.yaml: none fails' shown wandb failed 0

small pbt -e 's/population: 8, interval: 3, max_iter: 27/population: 4, interval: 1, max_iter: 4/' \
    -e 's/value: 27/value: 4/'
run "$covey" sweep run pbt.yaml --dir pbt
t 'pbt.yaml runs' status_is 0
t 'pbt.yaml: all of the population end' shown pbt complete 4
# What the four began with, by the same seed.
run "$covey" sweep create pbt.yaml --dir began
for _ in 1 2 3 4; do "$covey" sweep ask began >"$out"; done
moved()
{
    for i in 0 1 2 3; do
        cmp -s {began,pbt}/trials/000$i/params.json
        [ $? -ne 1 ] || return 0
    done
    return 1
}
t 'pbt.yaml: some went on as moved copies of others' moved

if command -v python3 >/dev/null; then
    small torch -e 's/value: 9/value: 3/; s/run_cap: 8/run_cap: 4/'
    run "$covey" sweep run torch.yaml --dir plain
    t 'a script that logs with wandb runs unchanged' status_is 0
    t 'its metric is seen' best_is_best plain
    t 'its settings are the swept ones' eval '[ "$(grep -c lr plain/trials/0000/params.json)" -eq 1 ]'
else
    skip 'a script that logs with wandb' 'there is no python3'
fi
finish

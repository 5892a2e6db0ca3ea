#!/bin/bash
# test_sweep_tools.sh - covey sweep simulate, by an example that is computed by hand,
# and covey sweep init: what is drafted is taken, and runs.
# shellcheck disable=SC2317,SC2016 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$TMPDIR" || exit 1

# ---- simulate ----
#
# ASHA with eta 2 and max_iter 4, one trial at a time.  A trial goes on from a rung when
# its loss is at most the median of those that were there before it:
#
#     trial  step 1             step 2           then
#     a      6, nobody before   5, nobody        3 at step 4
#     b      8 > 6                               stopped at step 1
#     c      5 <= 7 (6, 8)      4 <= 5           2 at step 4
#     d      6 <= 6 (6, 8, 5)   6 > 4.5 (5, 4)   stopped at step 2, and 1 is never seen
#
# 4 + 1 + 4 + 2 = 11 of 16 steps, of one second each.
{
    echo trial,step,value
    for curve in 'a 6 5 4 3' 'b 8 8 8 8' 'c 5 4 3 2' 'd 6 6 2 1'; do
        # shellcheck disable=SC2086
        set -- $curve
        printf "$1,%d,%d\n" 1 "$2" 2 "$3" 3 "$4" 4 "$5"
    done
} >four.csv
cat >asha.yaml <<'YAML'
method: random
metric: {name: loss, goal: minimize}
parameters: {lr: {min: 0.0, max: 1.0}}
command: ["true", "${args}"]
covey: {scheduler: {type: asha, max_iter: 4, eta: 2}, parallel: 1}
YAML
run "$covey" sweep simulate asha.yaml --curves four.csv
t 'simulate ends well' status_is 0
t 'two are stopped' out_has '4: 2 complete, 2 stopped early, 0 paused for good'
t 'and where' out_has '1 at step 1, 1 at step 2'
t 'the best found, and the best of all' out_has 'best       2, trial c at step 4; of all curves 1'
t 'what it saved' out_has 'steps      11 of 16, '
t 'virtual time' out_has 'time       11 s'
rung() { grep -qE "^ +0 +$1 +$2 +$3 +[0-9.]+\$" "$out"; }
t 'the rungs: all reach the first' rung 1 4 3
t 'and three the second' rung 2 3 2
run "$covey" sweep simulate asha.yaml --curves four.csv --json
t '--json: flat objects' is_json "$out"
t 'a schema first' eval '[ "$(head -n 1 "$out")" = "{\"schema\": \"covey.simulate/1\"}" ]'
t 'a line for each trial' out_has '"trial": "d", "state": "stopped", "step": 2, "value": 6, "best": 6, "started_s": 9.0'
t 'a line for each rung' out_has '"rung": 2, "reached": 3, "passed": 2'
t 'a line for the whole' both '"best_trial": "c", "best": 2, "best_step": 4, "best_of_all": 1' \
    '"steps": 11, "steps_of_all": 16, "time_s": 11.0'
sed 's/minimize/maximize/' asha.yaml >most.yaml
run "$covey" sweep simulate most.yaml --curves four.csv
t 'goal: maximize' out_has 'best       8, trial b at step 1; of all curves 8'
run "$covey" sweep simulate asha.yaml --curves four.csv --scheduler 'hyperband, {type: median, grace: 1}'
t 'several: a head, none, the file, and each' out_lines 6
t 'nothing stopped, for comparison' out_has '1           16   0.0 %         16 s         4        0        0  none'
t 'the file'\''s own' out_has '2           11  31.2 %         11 s         2        2        0  asha max_iter=4'
t 'with options of their own' out_has 'median max_iter=4 grace=1'
run "$covey" sweep simulate asha.yaml --curves four.csv --parallel 4
t 'all at once: nobody was there before' out_has 'time       4 s'

# PBT on curves is an approximation
run "$covey" sweep simulate asha.yaml --curves four.csv --parallel 2 \
    --scheduler '{type: pbt, population: 4, interval: 1}'
t 'pbt says that it is approximated' err_has 'warning: pbt is approximated'
run "$covey" sweep simulate asha.yaml --curves four.csv --json --scheduler '{type: pbt, population: 4, interval: 1}'
t '--json: how often, and the best one'\''s curve' both '"clones": 0' '"best_curve": "c"'
t 'others are as they were recorded' eval '! grep "none" "$out" | grep -q "\"clones\": [1-9]"'
run "$covey" sweep simulate asha.yaml --curves four.csv
t 'nor is a word lost on it' err_empty

printf 'trial,step,value\n\033[31mred,1,1\n' >red.csv
run "$covey" sweep simulate asha.yaml --curves red.csv
t 'a terminal does not obey the name of a trial' out_has 'trial ?[31mred at step 1'

# What is wrong is told
both_err() { err_has "$1" && err_has "$2"; }
run "$covey" sweep simulate asha.yaml
t 'without curves: which ones' both_err '--curves FILE' 'trial, step and value'
run "$covey" sweep simulate asha.yaml --curves nothing.csv
t 'no such file' err_has 'nothing.csv: No such file'
t 'is a usage error' status_is 2
{ cat four.csv; echo d,5,good; } >bad.csv
run "$covey" sweep simulate asha.yaml --curves bad.csv
t 'file, line and what is wrong' err_has 'bad.csv:18: value is no number "good"'
run "$covey" sweep simulate asha.yaml --curves "$TMPDIR"
t 'a directory without a sweep' err_has 'no sweep here'
run "$covey" sweep simulate asha.yaml --curves four.csv --scheduler asha,medain
t 'the nearest scheduler' err_has 'did you mean median?'
run "$covey" sweep simulate asha.yaml --curves four.csv --scheduler '{type: asha, eta: 0.5}'
t 'an option that makes no sense' err_has 'eta'
sed '/^metric/d; s/scheduler: {.*}, //' asha.yaml >blind.yaml
run "$covey" sweep simulate blind.yaml --curves four.csv
t 'no metric' err_has 'add `metric:'

# ---- preview ----

for method in random grid bayes; do
    sed "s/random/$method/; s/lr: {.*}}/lr: {values: [1, 2]}, n: {min: 1, max: 3}}\nrun_cap: 10/" asha.yaml >small.yaml
    run "$covey" sweep preview small.yaml
    t "preview: a small space ends before run_cap: $method" out_has 'trials     6'
    run "$covey" sweep preview small.yaml --count 4
    t "or after it: $method" out_has 'trials     4'
done

# ---- options of another action ----

not_taken() { status_is 2 && err_has "$1" && err_has "${2-covey sweep}"; }
run "$covey" sweep show nowhere --parallel 3
t 'an option that is another action'\''s: its own are told' not_taken 'show takes no --parallel; its options: --json'
run "$covey" sweep --detach ask nowhere
t 'where it stands before the action, too' not_taken 'ask takes no --detach; it has no options of its own'
run "$covey" sweep simulate asha.yaml --curves four.csv --count 3
t 'several of its own' not_taken 'takes no --count' '--parallel, --set, --curves, --scheduler, --json'
run "$covey" sweep init --json train.sh
t 'init, before the program' not_taken 'init takes no --json' '--output'
run "$covey" sweep run asha.yaml --count 18446744073709551615
t 'what the file cannot say' not_taken '--count must be at most 9223372036854775807'
run "$covey" sweep tell nowhere --trial 0 --done --failed
t 'either or' not_taken 'tell: --done and --failed'
run "$covey" sweep show ''
t 'nothing is no directory' not_taken 'usage: covey sweep show DIR'
run "$covey" sweep show nowhere -q
t 'those of every command are taken' err_has 'no sweep in nowhere'
run "$covey" sweep simulate asha.yaml --curves four.csv --parallel 18446744073709551615
t 'the greatest number is one as well' err_has '--parallel must be at most'
run "$covey" sweep run asha.yaml --dir elsewhere --name absent
t '--name: the cluster that trials run on' err_has 'absent/door; start one'

# ---- init ----

# A trainer that knows --help, and reports 1/step + lr on its standard output.
cat >train.sh <<'TRAINER'
#!/bin/sh
case $* in
*--help*)
    cat <<'HELP'
usage: train.sh [--help] [--lr LR] [--opt {adam,sgd}] [--layers N] [--epochs N] [--warm]

options:
  --help                show this help message and exit
  --lr LR               learning rate (default: 0.01)
  --opt {adam,sgd}      the optimizer
  --layers N            how deep (default: 3)
  --epochs N            how long (default: 9)
  --warm                start warm
HELP
    exit 0 ;;
esac
for word; do
    case $word in
    --lr=*) lr=${word#--lr=} ;;
    --opt=adam | --opt=sgd | --layers=[1-6] | --warm) ;;
    *) echo "unknown: $word"; exit 2 ;;
    esac
done
for step in 1 2 3 4 5 6 7 8 9; do
    awk -v s=$step -v lr="$lr" 'BEGIN { printf "{\"step\": %d, \"loss\": %.6f}\n", s, lr + 1 / s }'
done
TRAINER
chmod +x train.sh
run "$covey" sweep init train.sh
t 'init ends well' status_is 0
t 'the file is printed' cmp -s "$out" sweep.yaml
t 'what is to be done is said' err_has 'fill in metric.name'
t 'a rate by its default' eval \
    'grep -A 3 "^  lr: " sweep.yaml | tr -d "\n" | grep -q "log_uniform_values    min: 0.001    max: 0.1"'
t 'choices' grep -q '^    values: \[adam, sgd\]' sweep.yaml
t 'a switch' grep -q '^    values: \[true, false\]' sweep.yaml
t 'epochs are not varied' grep -q '^  #   epochs .*early stopping' sweep.yaml
run "$covey" sweep preview sweep.yaml
t 'preview takes it' status_is 0
t 'with a command to look at' out_has './train.sh --lr=0.01'
t 'and one warning: what is to be filled in' eval 'err_has "still to be filled in" && [ "$(wc -l <"$err")" -eq 1 ]'
run "$covey" sweep init train.sh
t 'a file that exists is refused' both_err 'sweep.yaml exists' '-o FILE'
run "$covey" sweep init train.sh -o other.yaml
t '-o: another file, and it is not printed' eval '[ -s other.yaml ] && out_empty'
run "$covey" sweep init -o - -- ./train.sh --layers=2
t '-o -: only printed' eval 'out_has "program: ./train.sh" && err_empty'
run "$covey" sweep init train.sh --layers 2 -o -
t 'options behind the program are its own' both '  - --layers' '  - "2"'
run "$covey" sweep init -o - -- ./train.sh --layers=2
t 'what is given is set' eval 'out_has "  - --layers=2" && ! grep -q "^  layers:" "$out"'
run "$covey" sweep run sweep.yaml --dir unfilled --count 1
t 'without a metric its trials fail, and it is said' err_has 'never reported "your_metric"'
sed 's/your_metric/loss/' sweep.yaml >filled.yaml
echo 'covey: {report: stdout, parallel: 2, seed: 1}' >>filled.yaml
run "$covey" sweep run filled.yaml --dir filled --count 6
t 'with one it runs' status_is 0
t 'and finds something' out_has 'best: loss'
run "$covey" sweep simulate asha.yaml --curves filled
t 'its record is a file of curves' out_has 'of all curves'
run "$covey" sweep simulate most.yaml --curves filled --scheduler asha
t 'for any scheduler' status_is 0
sed 's/loss/accuracy/' asha.yaml >other_metric.yaml
run "$covey" sweep simulate other_metric.yaml --curves filled
t 'another metric is not in it' err_has '"accuracy"'

# Programs that do not help
run "$covey" sweep init -o x.yaml nowhere.sh
t 'no such program' err_has 'No such file'
printf '#!/bin/sh\necho one\necho no module named torch >&2\nexit 1\n' >broken.sh
run "$covey" sweep init -o x.yaml broken.sh
t 'a file that may not be run' both_err 'Permission denied' 'chmod +x'
chmod +x broken.sh
run "$covey" sweep init -o x.yaml broken.sh
t 'its last lines and what to do' eval 'err_has "  | no module named torch" && err_has "by hand"'
t 'it has failed' status_is 1
printf '#!/bin/sh\nprintf "\\033[2Jred \\377\\302\\233 end\\n"\n' >binary.sh
chmod +x binary.sh
run "$covey" sweep init -o x.yaml binary.sh
t 'what a terminal would obey is not among them' grep -qx '  | \[2Jred ? end' "$err"
printf '#!/bin/sh\nyes\n' >endless.sh
chmod +x endless.sh
run "$covey" sweep init -o x.yaml endless.sh
t 'output without end' err_has 'more than 1048576 bytes'
printf '#!/bin/sh\necho "  --what WHAT  nobody knows"\n' >vague.sh
chmod +x vague.sh
run "$covey" sweep init -o x.yaml vague.sh
t 'options of which nothing is known' err_has 'none of the 1 options'
run "$covey" sweep init -o x.yaml "$TMPDIR"
t 'a directory' err_has 'is no file'
run "$covey" sweep init -o nowhere/x.yaml train.sh
t 'no place for the file' err_has 'nowhere/x.yaml: No such file'
t 'no file was made by any of these' test ! -e x.yaml

# argparse, of which defaults and types are had even where the help names none
if python3 -c 'import argparse' 2>/dev/null; then
    cat >train.py <<'TRAINER'
import argparse
p = argparse.ArgumentParser()
p.add_argument("data")
p.add_argument("--lr", type=float, default=1)
p.add_argument("--layers", type=int, default=3, help="how deep, 100%% sure")
p.add_argument("--opt", choices=["adam", "sgd"])
p.add_argument("--warm", action="store_true")
p.parse_args()
TRAINER
    run "$covey" sweep init -o - train.py images
    t 'argparse: a default that the help does not name' out_has '  lr:                         # default 1'
    t 'argparse: its type' out_has '    max: 10.0'
    t 'argparse: a word of the command' out_has '  - images'
    run "$covey" sweep init -o - python3 train.py
    t 'python train.py is train.py' both 'program: train.py' '# - data'
    echo 'import nowhere_at_all' >broken.py
    run "$covey" sweep init -o x.yaml broken.py
    t 'argparse: an import that fails is shown' err_has "No module named 'nowhere_at_all'"
else
    skip 'argparse' 'no python3'
fi
finish

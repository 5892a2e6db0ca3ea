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
contiguous() { for i in 0 1 2 3; do cut -d' ' -f2 pbt/trials/000"$i"/checkpoint/history | diff -q - <(seq 12) || return 1; done; }
t 'no step is missing from a checkpoint, none is there twice' contiguous
foreign() { for i in 0 1 2 3; do grep -v "^$i " pbt/trials/000"$i"/checkpoint/history; done; }
t 'clones have their checkpoints from others' test -n "$(foreign)"
handed() # the last step of each donor's part is at an interval
{
    for i in 0 1 2 3; do
        awk 'who != "" && $1 != who && last % 3 { exit 1 } { who = $1; last = $2 }' \
            pbt/trials/000"$i"/checkpoint/history || return 1
    done
}
t 'taken over as they were when they were judged' handed
reported() { sed 's/.*"trial":\([0-9]*\),"step":\([0-9]*\),.*/\1 \2/' pbt/results.jsonl; }
t 'every step that was done is reported, also those of clones that went back' \
    diff <(sort executed) <(reported | sort)
t 'the best is shown with the parameters that made it' eval \
    '"$covey" sweep best pbt | awk "/best:/ {v = \$3; s = \$6} / lr = / {d = v - 10 * \$3 - 1 / s; exit !(d < 1e-5 && d > -1e-5)}"'
# What is best at first is worst later, so its member explores: the best value has old parameters.
sed 's/10 \* lr + 1 \/ s/s == 1 ? 10 * lr : 20 - 10 * lr/' member.sh >turning.sh
chmod +x turning.sh
sweep turning '[./turning.sh, "${args}"]' 'scheduler: {type: pbt, population: 8, interval: 3, max_iter: 12}'
run "$covey" sweep run turning.yaml --dir turning
made_by() # JSON lines: at step 1 the loss is 10 lr
{
    sed 's/.*"value": \([^,]*\), "value_step": \([0-9]*\),.*"lr": *\([0-9.e-]*\).*/\1 \2 \3/' |
        awk '{ d = $1 - 10 * $3; bad += d > 1e-5 || d < -1e-5 || $2 != 1 } END { exit bad > 0 || NR == 0 }'
}
t 'show --json, too, after they explored others' eval '"$covey" sweep show turning --json | tail -n +2 | made_by'
t 'and best --json' eval '"$covey" sweep best turning --json | made_by'
params_of() { grep -o "\"$1\": {[^}]*}" | sed 's/^[^{]*//'; }
page_best() { grep '^"best": ' turning/report.html | params_of json; }
t 'and the page' diff <(page_best) <("$covey" sweep best turning --json | params_of params)
# Members that keep their checkpoints on another disk.
sed 's,^file=,[ -L "$COVEY_CHECKPOINT_DIR" ] || [ -e "$COVEY_CHECKPOINT_DIR/step" ] || { mkdir -p elsewhere/$COVEY_TRIAL_ID \&\& rmdir "$COVEY_CHECKPOINT_DIR" \&\& ln -s "$PWD/elsewhere/$COVEY_TRIAL_ID" "$COVEY_CHECKPOINT_DIR"; }\n&,' \
    member.sh >away.sh
chmod +x away.sh
sweep away '[./away.sh, "${args}"]' 'scheduler: {type: pbt, population: 8, interval: 3, max_iter: 12}'
run "$covey" sweep run away.yaml --dir away
own_links() # a link leads to the member's own
{
    for i in 0 1 2 3; do
        [ ! -L away/trials/000"$i"/snapshot ] || return 1
        [ ! -L away/trials/000"$i"/checkpoint ] || [ "$(readlink away/trials/000"$i"/checkpoint)" = "$PWD/elsewhere/$i" ] ||
            return 1
    done
    [ -e elsewhere/0/step ]
}
t 'clones of checkpoints behind links are copies' own_links
# ---- the world ------------------------------------------------------------------
none_runs() { [ "$(pgrep -fc "$1")" -eq 0 ]; }
run_steps() { grep -c '"loss"' "$1/results.jsonl"; }
cat >slow.sh <<'SLOW'
#!/bin/sh
step=$(cat "$COVEY_CHECKPOINT_DIR/step" 2>/dev/null || echo 0)
while [ "$step" -lt 5 ]; do
    step=$((step + 1))
    "$COVEY_BIN" report loss=1 step="$step" >/dev/null || exit 0
    echo "$step" >"$COVEY_CHECKPOINT_DIR/step"
    sleep "$PAUSE"
done
SLOW
chmod +x slow.sh
export PAUSE=0.02
sweep slow "[$PWD/slow.sh]" ''

# The node dies while it runs.
"$covey" start --cpus 4 -q
PAUSE=0.3 "$covey" sweep run slow.yaml --dir node >run.out 2>&1 </dev/null &
runner=$!
two_report() { [ -s node/results.jsonl ] && [ "$(run_steps node)" -ge 2 ]; }
t 'trials report' until_true two_report
kill -KILL "$(pid_of node default)"
wait $runner
t 'the runner sees that its cluster is gone' test $? -eq 1
t 'and says what to do' grep -q 'the cluster ended, or its node died.*covey sweep resume' run.out
t 'nothing is left running' until_true none_runs "$PWD/slow.sh"
"$covey" stop -q
run "$covey" sweep resume node
t 'resume runs them again' status_is 0
t 'all are complete' shown node complete 4
t 'each step is reported once' eval '[ "$(run_steps node)" -eq 20 ]'

# SIGTERM is Ctrl-C.
PAUSE=0.3 "$covey" sweep run slow.yaml --dir term >run.out 2>&1 </dev/null &
runner=$!
reports() { [ -s term/results.jsonl ]; }
until_true reports
kill -TERM $runner
wait $runner
t 'SIGTERM ends it as Ctrl-C' test $? -eq 130
t 'its trials wait' shown term waiting 2
t 'nothing runs' until_true none_runs "$PWD/slow.sh"

# What a trial reports when it is told to end is kept.
cat >words.sh <<'WORDS'
#!/bin/sh
trap '"$COVEY_BIN" report loss=0.5 step=7; exit 143' TERM
"$COVEY_BIN" report loss=1 step=1
while :; do sleep 0.05; done
WORDS
chmod +x words.sh
sweep words "[$PWD/words.sh]" ''
"$covey" sweep run words.yaml --dir words --count 2 >run.out 2>&1 </dev/null &
runner=$!
words_come() { [ "$(grep -c '"step":1' words/results.jsonl 2>/dev/null)" -eq 2 ]; }
t 'trials wait to be told' until_true words_come
kill -TERM $runner
wait $runner
t 'their last reports are recorded' test "$(grep -c '"step":7' words/results.jsonl)" -eq 2

# What a trial printed while its runner hung is not lost when the runner dies.
cat >print.sh <<'PRINT'
#!/bin/sh
step=$(cat "$COVEY_CHECKPOINT_DIR/step" 2>/dev/null || echo 0)
while [ "$step" -lt 12 ]; do
    step=$((step + 1))
    echo "{\"step\": $step, \"loss\": 1}"
    echo "$step" >"$COVEY_CHECKPOINT_DIR/step"
    [ "$step" -ne 1 ] || until [ -e go ]; do sleep 0.02; done
    [ "$step" -ne 10 ] || sleep 30
done
PRINT
chmod +x print.sh
sweep print "[$PWD/print.sh]" 'report: stdout'
"$covey" sweep run print.yaml --dir print --count 1 >run.out 2>&1 </dev/null &
runner=$!
is_printed() { grep -q '"step":1[,}]' print/results.jsonl 2>/dev/null; }
until_true is_printed
kill -STOP $runner
touch go
is_at_10() { [ "$(cat print/trials/0000/checkpoint/step)" -eq 10 ]; }
t 'a trial that prints goes on while its runner hangs' until_true is_at_10
kill -KILL $runner
wait $runner 2>/dev/null
until_true none_runs "$PWD/print.sh"
run "$covey" sweep resume print
t 'its sweep is resumed' status_is 0
t 'each step that was printed is recorded once' test "$(sed -n 's/.*"step":\([0-9]*\).*/\1/p' print/results.jsonl | tr '\n' ' ')" = '1 2 3 4 5 6 7 8 9 10 11 12 '

# Nobody reads what the runner says.
run bash -c '"$0" sweep run slow.yaml --dir pipe 2>&1 | head -c 1 >/dev/null; exit "${PIPESTATUS[0]}"' "$covey"
t 'a reader that leaves does not end it' shown pipe complete 4

# Directories that vanish
PAUSE=0.3 "$covey" sweep run slow.yaml --dir lost >run.out 2>&1 </dev/null &
runner=$!
lost_reports() { [ -s lost/results.jsonl ]; }
until_true lost_reports
rm -rf lost
wait $runner
t 'a sweep whose directory was removed ends' test $? -eq 1
t 'and says so' grep -q 'was removed or replaced' run.out
t 'nothing runs then' until_true none_runs "$PWD/slow.sh"
mkdir here
(cd here && PAUSE=0.2 exec "$covey" sweep run ../slow.yaml --dir ../cwd >../run.out 2>&1 </dev/null) &
runner=$!
cwd_reports() { [ -s cwd/results.jsonl ]; }
until_true cwd_reports
rm -rf here
wait $runner
t 'trials whose directory was removed do not fail' shown cwd failed 0
t 'the sweep ends and says why' grep -q 'the directory in which trials run.*is gone' run.out
run "$covey" sweep resume cwd
t 'resume runs them elsewhere' shown cwd complete 4
t 'and says so, too' err_has 'is gone; trials run in'
mkdir there
(cd there && "$covey" sweep create ../slow.yaml --dir ../far >/dev/null)
sed -i '2i echo "in $PWD"' slow.sh
run "$covey" sweep resume far
t 'trials run where the sweep was made' grep -q 'in .*/there$' far/trials/0000/log

# A full disk
if mkdir full && mount -t tmpfs -o size=1m covey-test full 2>/dev/null; then
    sweep fill '[sh, -c, "head -c 400000 /dev/zero >$COVEY_TRIAL_DIR/x; $COVEY_BIN report loss=1"]' ''
    run "$covey" sweep run fill.yaml --dir full/s
    t 'a full disk ends the sweep' status_is 1
    t 'and is told' err_has 'covey sweep resume'
    rm -f full/s/trials/*/x
    mount -o remount,size=16m full
    run "$covey" sweep resume full/s
    t 'with room it goes on' status_is 0
    t 'to its end' shown full/s complete 4
    umount full
else
    skip 'a full disk' 'mount needs root'
fi

# Programs
sweep missing '[./nothing.sh]' ''
run "$covey" sweep run missing.yaml --dir missing
t 'a program that is not there fails the sweep' status_is 1
t 'and is named' err_has 'nothing.sh'
cp "$(command -v sleep)" nap
sweep forks '[sh, -c, "(setsid ./nap 777 &); ./nap 778 & $COVEY_BIN report loss=1"]' ''
run "$covey" sweep run forks.yaml --dir forks
no_nap() { [ -z "$(find /proc -maxdepth 2 -name exe -lname "$PWD/nap" 2>/dev/null)" ]; }
t 'programs that leave children behind' shown forks complete 4
t 'their children end, too' until_true no_nap
sweep deaf "[sh, -c, 'trap : TERM INT HUP; \$COVEY_BIN report loss=1; while :; do sleep 0.05; done', $PWD/deaf]" 'grace: 200ms'
"$covey" sweep run deaf.yaml --dir deaf >run.out 2>&1 </dev/null &
runner=$!
deaf_reports() { [ -s deaf/results.jsonl ]; }
until_true deaf_reports
run "$covey" sweep stop deaf
wait $runner
t 'programs that ignore SIGTERM end after the grace' test $? -eq 130
t 'none is left' until_true none_runs "$PWD/deaf"
sweep loud '[sh, -c, "yes | head -c 100000000; echo; $COVEY_BIN report loss=1"]' ''
run "$covey" sweep run loud.yaml --dir loud --count 1
t 'a program that prints 100 MB' shown loud complete 1
t 'its log is bounded' eval '[ "$(stat -c %s loud/trials/0000/log)" -lt 70000000 ]'
rm -rf loud

# Failures that a message can help with
printf '#!/bin/sh\r\n' >windows.sh
sweep windows '[./windows.sh]' ''
run "$covey" sweep run windows.yaml --dir "a \"quoted\" directory" --count 1
t 'a file that is not executable' err_has 'chmod +x'
chmod +x windows.sh
run "$covey" sweep run windows.yaml --dir windows --count 1
t 'a script with Windows line ends' err_has 'Windows line end'
sweep other '[sh, -c, "$COVEY_BIN report acc=1"]' ''
run "$covey" sweep run other.yaml --dir other --count 1
t 'a metric that never comes: what came instead' err_has '(reports had "acc")'
sweep binary '[sh, -c, "printf \"\\033[31mred\\r\\000end\"; exit 1"]' ''
run "$covey" sweep run binary.yaml --dir binary --count 1
t 'what a terminal would obey is not passed on' grep -q '^?\[31mred$' "$err"
cat >peers.py <<'PEERS'
import os, socket
peers = []
for i in range(400):
    peers.append(socket.socket(socket.AF_UNIX))
    peers[-1].connect(os.environ["COVEY_REPORT"])
    peers[-1].sendall(b'{"loss": 1}\n')
PEERS
cat >mute.py <<'MUTE'
import os, socket

def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(os.environ["COVEY_REPORT"])
    return s

s = connect()
answers = s.makefile("r")
for line in b"\n", b"  \n", b"\t\r\n", b'{"loss": 1}\n':
    s.sendall(line)
    print("answer:", answers.readline(), end="", flush=True)
s = connect()
try:
    for i in range(10000):
        s.sendall(b'{"loss": 2}\n')
except OSError as error:
    print(type(error).__name__)
MUTE
sweep mute '[python3, mute.py]' 'storm: 0'
run "$covey" sweep run mute.yaml --dir mute --count 1
answered() { grep -c "^answer: {\"stop\":false${1-}}\$" mute/trials/0000/log; }
t 'blank lines are answered as others that are no report' \
    eval '[ "$(answered ",\"error\":\"a report is a JSON object.*\"")" -eq 3 ] && [ "$(answered)" -eq 1 ]'
t 'who never reads an answer is cut off' grep -qE '^(BrokenPipe|ConnectionReset)Error$' mute/trials/0000/log
t 'what came before counts' eval '[ "$(run_steps mute)" -gt 200 ] && shown mute complete 1'
t 'and its log says why' grep -q '^\[covey: a connection for reports was closed, because nobody reads' mute/trials/0000/log
sweep peers '[python3, peers.py]' 'trial_time: 8s'
run "$covey" sweep run peers.yaml --dir peers --count 1
t 'more connections than there are places, all of them held' eval '[ "$(wc -l <peers/results.jsonl)" -ge 300 ]'
run "$covey" sweep run other.yaml --dir far --parallel 0
t '--parallel 0 is refused' status_is 2
run "$covey" sweep show "a \"quoted\" directory" --json
t 'quotes in the name of a directory' out_has 'a \"quoted\" directory'

# Lines of a table fit: the parameters give way
cat >wide.yaml <<'YAML'
method: random
metric: {name: validation/mean_average_precision, goal: maximize}
parameters: {learning_rate: {min: 0.1, max: 0.2}, momentum: {min: 0.1, max: 0.2}, dir: {value: "é\tü"}}
command: [sh, -c, "\"$COVEY_BIN\" report validation/mean_average_precision=0.125", "${args}"]
YAML
run env COVEY_BIN="$covey" "$covey" sweep run wide.yaml --dir wide --count 2
widest() { LC_ALL=C.UTF-8 awk 'length > most { most = length } END { exit most != '"$1"' }' "$out"; }
run env -u COLUMNS "$covey" sweep show wide
t 'piped, lines have 80 columns' eval 'widest 80 && out_has "{\"learning_rate\": 0.1"'
t 'with an ellipsis where they end' eval 'grep -q "^     0  complete .* 0.125 .*\.\.\.$" "$out"'
t 'the name of the metric gives way, too' out_has ' validation/mea...  '
run env COLUMNS=30 "$covey" sweep show wide
t 'but trial and value do not' grep -qE '^     1  complete +0.125 ' "$out"
run env COLUMNS=200 "$covey" sweep show wide
t 'COLUMNS: where there is room all is shown' grep -qE ' validation/mean_average_precision +STEP .*PARAMETERS$' "$out"
t 'to the last parameter' grep -qE '^     1 .*"momentum": [0-9.]+, "dir": .*}$' "$out"
run "$covey" sweep preview other.yaml --set run_cap=17
t 'preview takes --set' out_has 'trials     17'

# --set: any key of a new sweep, and limits of one that is there
sweep set '[sh, -c, "echo \"{\\\"loss\\\": 1}\""]' 'report: stdout'
run "$covey" sweep preview set.yaml --set parameters.lr.max=0.25 --set metric.goal=maximize --set method=grid
t 'a grid has no room for a range' err_has '--set method=grid: a grid needs lists'
run "$covey" sweep preview set.yaml --set parameters.lr.max=0.25 --set metric.goal=maximize
t 'a bound and a goal are set' eval "out_has 'uniform, 0 to 0.25' && out_has 'loss, maximize'"
run "$covey" sweep run set.yaml --dir never --set parameters.lr.mim=1e-4
t 'a wrong key is told as it was typed' err_has '--set parameters.lr.mim=1e-4:'
t 'with the right one' err_has 'did you mean min?'
t 'before anything is made' eval '[ ! -e never ]'
run "$covey" sweep run set.yaml --dir set --set 'parameters.lr.values=[0.25, 0.5]' --set method=grid --set run_cap=1
t 'what was set is run' shown set complete 1
t 'one of its values' grep -q '"lr": 0.25' set/trials/0000/params.json
rm set.yaml
run "$covey" sweep resume set --set run_cap=7
t 'resume has all of it: a grid of two' eval 'status_is 0 && shown set complete 2'
run "$covey" sweep resume set --set method=random
t 'another method is refused then' eval "status_is 2 && err_has 'what can be set now is run_cap, parallel'"
sweep asked '[none]' ''
run "$covey" sweep create asked.yaml --dir asked --set parameters.lr.value=3
run "$covey" sweep ask asked
t 'create takes --set' out_has '"lr": 3'
printf 'trial,step,value\n0,1,3\n0,2,2\n1,1,5\n1,2,4\n' >curves.csv
run "$covey" sweep simulate asked.yaml --curves curves.csv --set 'scheduler={}'
t 'simulate takes --set' err_has '--set scheduler={}'

# Many that end at once: they wait to open what nobody writes to yet.
mkfifo gate
sweep many '[sh, -c, "echo \"{\\\"loss\\\": 1}\"; : <gate"]' 'report: stdout'
"$covey" start --cpus 200 --processes 220 -q
"$covey" sweep run many.yaml --dir many --count 200 --parallel 200 >run.out 2>&1 </dev/null &
runner=$!
all_report() { [ -s many/results.jsonl ] && [ "$(run_steps many)" -eq 200 ]; }
patiently() { until_true "$@" || until_true "$@" || until_true "$@"; } # they start by the dozen a second
t '200 trials report' patiently all_report
exec 9<>gate
wait $runner
t 'they end at once' test $? -eq 0
t 'and none is lost' shown many complete 200
run "$covey" stop
finish

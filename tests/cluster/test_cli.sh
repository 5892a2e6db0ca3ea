#!/bin/bash
# test_cli.sh - the covey command: what it prints, what it returns, what it
# leaves behind.
# shellcheck disable=SC2016,SC2317 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"

# ---- words -----------------------------------------------------------------------

run "$covey"
t 'without a command: status 2' status_is 2
t 'without a command: the help' out_has 'usage: covey COMMAND'
run "$covey" --help
t '--help: status 0' status_is 0
t '--help teaches the first steps' out_has 'covey run ./program'
t '--help tells the exit statuses' out_has 'exit status'
t '--help hides what is internal' bash -c "! grep -q _private '$out'"
run "$covey" --version
t '--version' out_has 'covey 0.1.0'
run "$covey" help start
t 'help COMMAND' both 'usage: covey start' '--store SIZE'
for command in start stop status run list logs doctor; do
    run "$covey" $command --help
    t "$command --help has examples" both "usage: covey $command" "covey $command"
    t "$command --help: status 0" status_is 0
done
run "$covey" strat
t 'an unknown command: status 2' status_is 2
t 'an unknown command: the nearest' err_has 'did you mean start?'
run "$covey" status --jsn
t 'an unknown option: status 2' status_is 2
t 'an unknown option: the nearest' err_has 'did you mean --json?'
run "$covey" list taks
t 'an unknown list: the nearest' err_has 'did you mean tasks?'
run "$covey" start --store 12Q
t 'a bad size: status 2' status_is 2
t 'a bad size is named' err_has "--store: '12Q' is not a size"
for bad in '--cpus -1' '--cpus 0' '--cpus nan' '--gpus 1.5' '--gpus 100000' '--store 1' '--name ../x' \
    '--name .x' '--processes 1e9' '--color sometimes' 'word'; do
    # shellcheck disable=SC2086 # two words
    run "$covey" start $bad
    t "start $bad: status 2" status_is 2
    t "start $bad: errors are no output" out_empty
done
run "$covey" logs x9
t 'logs of what is no ID: status 2' status_is 2
run "$covey" list tasks --state asleep
t 'an unknown state names the states' err_has 'waiting queued'
run "$covey" _words
t 'completion: commands' both start doctor
run "$covey" _words list
t 'completion: options' both --json --state=

# ---- no cluster --------------------------------------------------------------------

for command in 'stop' 'status' 'list tasks' 'logs w1'; do
    # shellcheck disable=SC2086
    run "$covey" $command
    t "$command without a cluster: status 3" status_is 3
    t "$command without a cluster: what to do" err_has 'covey start'
done
t 'asking leaves nothing' nothing_left default

# ---- start, look, stop ----------------------------------------------------------------

run "$covey" start --cpus 2 --store 64M
t 'start: status 0' status_is 0
t 'start tells how to use it' both 'covey run' 'covey stop'
t 'its directory is closed to others' [ "$(stat -c %a "$COVEY_DIR/default")" = 700 ]
head=$(pid_of head default)
node=$(pid_of node default)
t 'head and node live' are_alive "$head" "$node"
run "$covey" start
t 'a second start: status 4' status_is 4
t 'a second start: what to do' err_has 'covey stop'
run "$covey" status
t 'status: status 0' status_is 0
t 'status names the cluster' out_has "cluster 'default'"
t 'status knows the CPUs' out_has '2 of 2 free'
run "$covey" status --json
t 'status --json: its schema' out_has '{"schema": "covey.status/1"}'
t 'status --json: two lines' out_lines 2
t 'status --json: numbers' both '"cpus": 2,' '"store_bytes": 6'
t 'status --json: valid' is_json "$out"
for list in tasks workers objects nodes; do
    run "$covey" list $list
    t "list $list: status 0" status_is 0
    run "$covey" list $list --json
    t "list $list --json: its schema" out_has "{\"schema\": \"covey.list-$list/1\"}"
    t "list $list --json: valid" is_json "$out"
done
run "$covey" --name default list nodes
t 'common options may come first' both alive cpus_free
run "$covey" logs w4000000
t 'logs of a worker that never was' err_has 'printed nothing'
run "$covey" logs t1.99
t 'logs of a task that never was: status 1' status_is 1
run env COVEY_ADDRESS=local:default "$covey" -q status
t 'COVEY_ADDRESS names a cluster' status_is 0
run env COVEY_NAME=other "$covey" status
t 'COVEY_NAME names another' status_is 3
run "$covey" start --name other --cpus 1 --store 32M -q
t 'a cluster of another name beside it' status_is 0
t 'start -q says nothing' out_empty
run "$covey" stop --name other
t 'and its end' status_is 0
t 'nothing is left of it' nothing_left other
run "$covey" stop
t 'stop: status 0' status_is 0
t 'the head is gone' is_dead "$head"
t 'the node is gone' is_dead "$node"
t 'nothing is left' nothing_left default
run "$covey" stop
t 'a second stop: status 3' status_is 3

# ---- killed daemons -------------------------------------------------------------------------

for victim in head node both; do
    run "$covey" start --cpus 1 --store 32M -q
    t "start, to kill $victim" status_is 0
    head=$(pid_of head default)
    node=$(pid_of node default)
    case $victim in
    head) killed=("$head") ;;
    node) killed=("$node") ;;
    both) killed=("$head" "$node") ;;
    esac
    kill -9 "${killed[@]}"
    t "$victim killed: dead" until_true are_dead "${killed[@]}"
    run "$covey" stop --grace 1
    t "$victim killed: stop is status 0" status_is 0
    t "$victim killed: the head is gone" is_dead "$head"
    t "$victim killed: the node is gone" is_dead "$node"
    t "$victim killed: nothing is left" nothing_left default
done

run "$covey" start --cpus 1 --store 32M -q
head=$(pid_of head default)
node=$(pid_of node default)
kill -9 "$head" "$node"
until_true are_dead "$head" "$node"
run "$covey" start --cpus 1 --store 32M -q
t 'start clears what a killed cluster left' status_is 0
t 'and it works' answers
run "$covey" start
t 'and it is one' status_is 4
kill -STOP "$(pid_of node default)"
run "$covey" stop --grace 0
t 'a stopped node is killed' status_is 0
t 'and nothing is left' nothing_left default

no_private() { no_match "$COVEY_DIR"/private-*; }

# ---- run ------------------------------------------------------------------------------------

run "$covey" run --cpus 1 --store 32M sh -c 'echo "$COVEY_ADDRESS"; exit 7'
t 'run returns its program'\''s status' status_is 7
t 'run gives it a cluster' out_has local:private-
run "$covey" run --cpus 1 --store 32M sh -c 'kill -9 $$'
t 'run: a program killed by signal 9' status_is 137
run "$covey" run --cpus 1 --store 32M "$covey" -q status
t 'run: covey inside sees that cluster' status_is 0
run "$covey" run --cpus 1 --store 32M -- "$TMPDIR/nothing"
t 'run: no such program: status 2' status_is 2
t 'run: no such program: its name' err_has "$TMPDIR/nothing"
run "$covey" run
t 'run without a program: status 2' status_is 2
run env COVEY_ADDRESS=local:nowhere "$covey" run true
t 'run at an address without a cluster: status 3' status_is 3
run "$covey" run --name mine --cpus 1 --store 32M sh -c 'echo "$COVEY_ADDRESS"'
t 'run --name gives it that name' out_has local:mine
t 'nothing is left of it' nothing_left mine
t 'no private cluster is left' no_private

mkfifo "$TMPDIR/fifo"
"$covey" run --cpus 1 --store 32M sh -c "trap 'exit 42' TERM; echo \$\$ >'$TMPDIR/fifo'; while :; do sleep 0.05; done" &
runner=$!
read -r program <"$TMPDIR/fifo"
kill -TERM $runner
wait $runner
status=$?
t 'SIGTERM reaches the program, whose status counts' status_is 42
t 'the program is gone' is_dead "$program"

"$covey" run --cpus 1 --store 32M sh -c "echo \$\$ >'$TMPDIR/fifo'; read -r x" </dev/zero &
runner=$!
read -r program <"$TMPDIR/fifo"
kill -9 $runner
wait $runner 2>/dev/null
kill -9 "$program"
t 'run killed: its cluster ends' until_true no_private

run "$covey" start --cpus 1 --store 32M -q
run "$covey" run sh -c 'echo "$COVEY_ADDRESS"'
t 'run uses a cluster that runs' out_has local:default
t 'and leaves it alone' answers
run "$covey" stop
t 'which then stops' status_is 0

# ---- private ------------------------------------------------------------------------------------

life=$TMPDIR/life
mkfifo "$life"
"$covey" _private --fd 9 --cpus 1 --store 32M >"$TMPDIR/answer" 9<"$life" &
private=$!
exec 8>"$life"
t '_private answers in one line' until_true grep -q '^private-[^ ]* /' "$TMPDIR/answer"
read -r name dir <"$TMPDIR/answer"
t '_private names its directory' [ -S "$dir/door" ]
t 'status by its name' answers --name "$name"
run "$covey" status
t 'status where no named cluster runs: status 3' status_is 3
t 'it tells who has a private one' err_has "Process $$, "
t 'and how to see that' err_has "--name $name"
node=$(pid_of node "$name")
exec 8>&-
wait $private
status=$?
t '_private ends with its descriptor: status 0' status_is 0
t 'its node is gone' is_dead "$node"
t 'it leaves no trace' [ ! -e "$dir" ]

"$covey" _private --fd 9 --cpus 1 --store 32M >"$TMPDIR/answer" 9<"$life" &
private=$!
exec 8>"$life"
until_true grep -q '^private-' "$TMPDIR/answer"
read -r name dir <"$TMPDIR/answer"
head=$(pid_of head "$name")
node=$(pid_of node "$name")
kill -9 $private
wait $private 2>/dev/null
t '_private killed: the head ends' until_true is_dead "$head"
t '_private killed: the node ends' until_true is_dead "$node"
exec 8>&-
run "$covey" run --cpus 1 --store 32M true
t 'the next private cluster clears its directory' [ ! -e "$dir" ]
run "$covey" status
t 'of what has ended nothing is told' eval '! err_has private'
run "$covey" _private --fd 77
t '_private with a closed descriptor: status 2' status_is 2

# ---- doctor ----------------------------------------------------------------------------------------

run "$covey" doctor
t 'doctor: status 0 or 1' [ "$status" -le 1 ]
t 'doctor looks at the kernel and the places' both kernel directory
run "$covey" doctor --json
t 'doctor --json: its schema' out_has '{"schema": "covey.doctor/1"}'
t 'doctor --json: valid' is_json "$out"
mkdir -p "$TMPDIR/open/default" && chmod 755 "$TMPDIR/open/default"
run env COVEY_DIR="$TMPDIR/open" "$covey" doctor
t 'doctor: an open directory is bad: status 1' status_is 1
t 'doctor: and how to mend it' out_has 'chmod 700'
run env COVEY_DIR="$TMPDIR/open" "$covey" start
t 'start refuses an open directory' bash -c "[ $status -ne 0 ] && [ $status -ne 3 ]"
run env COVEY_DIR=relative "$covey" status
t 'a relative COVEY_DIR: status 2' status_is 2
run env COVEY_DIR="/tmp/$(printf 'x%.0s' {1..120})" "$covey" status
t 'a COVEY_DIR too long for sockets: status 2' status_is 2
run "$covey" doctor --color always
t '--color always' grep -q $'\033' "$out"
run "$covey" doctor --color auto
t '--color auto into a file' bash -c "! grep -q \$'\\033' '$out'"

finish

#!/bin/bash
# test_bench.sh - covey bench measures, says so in both forms, and leaves nothing.
#
# The rows are the quick ones; whether bounds are kept is not asked, since other
# tests run at the same time.
# shellcheck disable=SC2317 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"

# No directory; that no process is left the test runner sees.
nothing_of_bench() { ! ls -d "$TMPDIR"/covey-bench.* 2>/dev/null; }

row_is() { grep -qE "^\{\"row\": \"$1\", \"value\": [0-9.e+]+, \"unit\": \"$2\", " "$out"; }

run "$covey" bench --list
t '--list' out_has 'tasks_sync'
sweep_rows='trials c_trial memory command reports reports_asked record stop suggest suggest_int suggest_log resume'
all_sweep_rows() { for row in $sweep_rows; do grep -q "^sweep_$row " "$out" || return 1; done; }
t '--list has the rows of sweeps' all_sweep_rows
run "$covey" bench task_sync
t 'an unknown row' status_is 2
t 'an unknown row: which was meant' err_has 'tasks_sync'

run "$covey" bench --json tasks_sync get_1KiB idle_worker worker_start
t 'bench' status_is 0
t '--json: the schema' [ "$(head -n 1 "$out")" = '{"schema": "covey.bench/1"}' ]
t '--json: every line is JSON' is_json "$out"
t '--json: a line each' out_lines 5
t 'a ratio' row_is tasks_sync us
t 'a rate' row_is get_1KiB /s
t 'a time' row_is worker_start ms
t 'a size' row_is idle_worker MB
t 'no errors' err_empty
t 'leaves nothing' nothing_of_bench

run "$covey" bench --json sweep_suggest sweep_resume
t 'sweeps' status_is 0
t 'a suggestion' row_is sweep_suggest ms
t 'a resume' row_is sweep_resume s

run "$covey" bench stop
t 'a table' out_has 'bound'
t 'a row of it' grep -qE '^stop +[0-9.]+ +ms +<= 200 +(ok|missed)$' "$out"

"$covey" bench tasks_async >"$out" 2>&1 </dev/null &
program=$!
clusters() { ls -d "$TMPDIR"/covey-bench.*/private-*; }
t 'while it measures' until_true clusters
kill -TERM $program
wait $program
status=$?
t 'a signal ends it' status_is 143
t 'which leaves nothing, too' until_true nothing_of_bench
finish

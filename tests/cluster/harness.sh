# shellcheck shell=bash disable=SC2034,SC2317
# harness.sh - what tests with real processes share.  Sourced, not run.
#
# A test sources this, calls `t` and `run`, and ends with `finish`.  Results are
# TAP lines for tools/run-tests, which gives each test its own directory and
# looks that no process and no socket outlives it.  Run by hand, a test makes a
# directory of its own:
#
#     make && COVEY_BIN=$PWD/build/covey tests/cluster/test_cli.sh
#
# Nothing here sleeps for a fixed time: until_true() asks again, for ten seconds.

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
covey=${COVEY_BIN:-$top/build/covey}
build=${COVEY_BUILD:-$top/build}
made=
if [ -z "${COVEY_DIR-}" ]; then
    made=$(mktemp -d /tmp/covey-test.XXXXXX)
    TMPDIR=$made
    COVEY_DIR=$made/c
fi
TMPDIR=${TMPDIR:-/tmp}
export TMPDIR COVEY_DIR
unset COVEY_ADDRESS COVEY_NAME NO_COLOR XDG_RUNTIME_DIR
out=$TMPDIR/out
err=$TMPDIR/err
status=0
count=0
shown=                          # what run() has left was printed already
failures=0

# t WHAT COMMAND...: a test; it passes when COMMAND is true.
t()
{
    what=$1
    shift
    count=$((count + 1))
    if "$@"; then
        echo "ok $count - $what"
    else
        failures=$((failures + 1))
        echo "not ok $count - $what"
        echo "# failed: $*; the last command's status was $status"
        [ -n "$shown" ] || ! [ -e "$out" ] || head -n 20 "$out" | sed 's/^/# out: /'
        [ -n "$shown" ] || ! [ -e "$err" ] || head -n 20 "$err" | sed 's/^/# err: /'
        shown=yes
    fi
}

skip()
{
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

# run COMMAND...: remember its status, output and errors for what follows.
run()
{
    "$@" >"$out" 2>"$err" </dev/null
    status=$?
    shown=
}

# What run() has left.
status_is() { [ "$status" -eq "$1" ]; }
out_has() { grep -qF -- "$1" "$out"; }
err_has() { grep -qF -- "$1" "$err"; }
out_empty() { [ ! -s "$out" ]; }
err_empty() { [ ! -s "$err" ]; }
out_lines() { [ "$(wc -l <"$out")" -eq "$1" ]; }
both() { out_has "$1" && out_has "$2"; }

# Every line is one JSON object: names, strings, numbers, null.  (No parser is
# installed everywhere; ours writes flat objects, so an expression does.)
is_json()
{
    string='"([^"\\[:cntrl:]]|\\["\\nt]|\\u[0-9a-f]{4})*"'
    pair="$string: ($string|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|null)"
    [ -s "$1" ] && ! grep -vqE "^\{$pair(, $pair)*\}\$" "$1"
}

# until_true COMMAND...: ask again until it is true, for ten seconds at most.
until_true()
{
    left=500
    while ! "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.02
    done
}

# Process numbers of a running cluster; pid_of head|node NAME.
pid_of() { cat "$COVEY_DIR/$2/$1.pid"; }
# A process that is dead and not yet reaped counts as dead.
is_dead() { ! grep -qE '^State:[[:space:]]+[^ZX]' "/proc/$1/status" 2>/dev/null; }
are_dead() { for pid; do is_dead "$pid" || return 1; done; }
are_alive() { for pid; do ! is_dead "$pid" || return 1; done; }
no_match() { [ ! -e "$1" ]; }   # of a pattern that the caller expands
# Does a cluster answer?
answers() { "$covey" status "$@" >/dev/null 2>&1; }

# Nothing of cluster NAME is left but its state: no socket, lock or number.
nothing_left()
{
    for entry in "$COVEY_DIR/$1"/*; do
        case $entry in
        */state | */\*) ;;
        *)
            echo "# left behind: $entry"
            return 1 ;;
        esac
    done
    # No process either that names this directory in its environment or arguments.
    for pid in $(pgrep -f -- "^covey _.* --name=$1( |\$)"); do
        if ! is_dead "$pid" && grep -qzxF "COVEY_DIR=$COVEY_DIR" 2>/dev/null <"/proc/$pid/environ"; then
            echo "# still runs: $pid"
            return 1
        fi
    done
}

finish()
{
    echo "1..$count"
    [ -z "$made" ] || rm -rf "$made"
    [ $failures -eq 0 ]
    exit
}

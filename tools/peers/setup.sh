# shellcheck shell=bash
# setup.sh - sourced by the scripts here: a virtual environment with the newest
# version of a peer, and where covey is.
#
#     peer_venv NAME PACKAGE...     sets peer_python, or ends the script with 0 and a
#                                   sentence where the package cannot be had
#
# The environment stays in $XDG_CACHE_HOME/covey/peers (else ~/.cache), so that it is
# loaded once.

peers=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
covey=${COVEY_BIN:-$peers/../../build/covey}
if [ ! -x "$covey" ]; then
    echo "${0##*/}: there is no $covey; run make first" >&2
    exit 2
fi

skip()
{
    echo "skipped: $*"
    exit 0
}

peer_venv()
{
    local name=$1 dir=${XDG_CACHE_HOME:-$HOME/.cache}/covey/peers/$1 log
    shift
    command -v python3 >/dev/null || skip "$name: there is no python3"
    log=$(mktemp) || exit 1
    mkdir -p "$dir" || exit 1
    if [ ! -x "$dir/bin/pip" ] && ! python3 -m venv "$dir" >"$log" 2>&1; then
        rm -f "$log"
        skip "$name: python3 makes no virtual environment (Debian: python3-venv)"
    fi
    echo "installing the newest $* into $dir ..." >&2
    if ! "$dir/bin/pip" install -q -U --disable-pip-version-check "$@" >"$log" 2>&1; then
        local why
        why=$(grep -v '^WARNING' "$log" | tail -n 1)
        rm -f "$log"
        skip "$name: PyPI does not give it: $why"
    fi
    rm -f "$log"
    # shellcheck disable=SC2034 # the script that sources this uses it
    peer_python=$dir/bin/python
}

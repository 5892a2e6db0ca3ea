#!/bin/bash
# test_tools.sh - what surrounds the code: the test runner, the lint, the
# installation, the library's names.
# shellcheck disable=SC2016,SC2317 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$top" || exit 1
runner=$top/build/run-tests

# A program that runs $1; its name is printed.
script()
{
    made_script=$(mktemp "$TMPDIR/script.XXXXXX")
    printf '#!/bin/bash\n%s\n' "$1" >"$made_script"
    chmod +x "$made_script"
    echo "$made_script"
}

last_line_is() { [ "$(tail -n 1 "$out")" = "$1" ]; }

# ---- the runner fails when it should ---------------------------------------------

run "$runner" "$(script 'echo ok 1 - a; echo ok 2 - b; echo 1..2')" plain:/bin/true
t 'runner: counts what tests say' last_line_is '3 passed, 0 failed'
t 'runner: success' status_is 0
run "$runner" "$(script 'echo not ok 1 - a; exit 1')"
t 'runner: a failure' last_line_is '0 passed, 1 failed'
t 'runner: fails' status_is 1
run "$runner"
t 'runner: no tests are a failure' last_line_is '0 passed, 1 failed'
run "$runner" "$TMPDIR/nothing"
t 'runner: a missing test is a failure' last_line_is '0 passed, 1 failed'
run "$runner" /bin/true
t 'runner: a silent test is a failure' last_line_is '0 passed, 1 failed'
run "$runner" "$(script 'echo 1..3; echo ok 1 - a')"
t 'runner: a plan that is not met' last_line_is '1 passed, 1 failed'
run "$runner" "$(script 'echo ok 1 - a; kill -SEGV $$')"
t 'runner: a test that crashes' last_line_is '1 passed, 1 failed'
run "$runner" "$(script 'echo ok 1 - a; exit 3')"
t 'runner: a status that is not 0' last_line_is '1 passed, 1 failed'
run "$runner" -t 1 "$(script 'echo ok 1 - a; sleep 30 & wait')"
t 'runner: a test that does not end' last_line_is '1 passed, 1 failed'
run "$runner" "$(script 'echo ok 1 - a; setsid sleep 30 & until [ -n "$(jobs -r)" ]; do :; done; sleep 0.1')"
t 'runner: a process left behind' out_has 'left a process behind'
run "$runner" "$(script "echo ok 1 - a; exec $(command -v env) bash -c 'mkfifo \$TMPDIR/f; echo \$TMPDIR'")"
t 'runner: a directory of its own' last_line_is '1 passed, 0 failed'
run "$runner" "$(script 'echo "ok 1 - a # SKIP no device"; echo ok 2 - b')"
t 'runner: skipped is not passed' last_line_is '1 passed, 0 failed'
t 'runner: and shown' out_has '1 skipped'

# ---- lint, set-up -------------------------------------------------------------------

run tools/lint
t 'lint: no breach' status_is 0
while read -r line; do
    case $line in
    'ok - '*) t "lint: ${line#ok - }" true ;;
    'not ok - '*) t "lint: ${line#not ok - }" false ;;
    esac
done < <(tools/lint --self-test)
run tools/install-deps --check
t 'install-deps: nothing is missing here' status_is 0
run env PATH="$TMPDIR" /bin/sh tools/install-deps --check
t 'install-deps: what is missing stops it' bash -c "[ $status -ne 0 ]"

# ---- installed, it works -----------------------------------------------------------------

run make -s install DESTDIR="$TMPDIR/dest" PREFIX=/usr
t 'install: status 0' status_is 0
for file in bin/covey lib/libcovey.so lib/libcovey.so.0 lib/libcovey.a lib/pkgconfig/covey.pc \
    lib/libcovey-sweep.so lib/libcovey-sweep.so.0 lib/libcovey-sweep.a lib/pkgconfig/covey-sweep.pc \
    include/covey.h include/covey/sweep.h share/man/man1/covey.1 share/man/man3/covey.3 \
    share/man/man3/covey-sweep.3 share/man/man5/covey-sweep.5 \
    share/bash-completion/completions/covey; do
    t "install: $file" [ -s "$TMPDIR/dest/usr/$file" ]
done
# What pkg-config says of packages below the destination, and the program of a page.
flags()
{
    PKG_CONFIG_PATH=$TMPDIR/dest/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$TMPDIR/dest pkg-config "$@"
}
program_of() # PAGE FILE
{
    sed -n '/^#include/,$p' "tools/man/$1" | sed '/^\.fi/,$d; s/\\\\n/\\n/; s/\\-/-/g' >"$TMPDIR/$2"
}
run_installed()
{
    run env -C "$TMPDIR" LD_LIBRARY_PATH="$TMPDIR/dest/usr/lib" COVEY_BIN="$TMPDIR/dest/usr/bin/covey" "$1"
}
program_of covey.3 page.c
# shellcheck disable=SC2046 # flags are words
run cc -Wall -Werror "$TMPDIR/page.c" -o "$TMPDIR/page" $(flags --cflags --libs covey)
t 'the program of covey(3) compiles as installed' status_is 0
run_installed "$TMPDIR/page"
t 'and it computes' out_has 144
program_of covey-sweep.3 sweep.c
cp "$TMPDIR/sweep.c" "$TMPDIR/sweep.cc"
compile_sweep() # PROGRAM SOURCE COMPILER FLAGS...; with $libraries
{
    made_program=$TMPDIR/$1
    source=$TMPDIR/$2
    shift 2
    # shellcheck disable=SC2046
    run "$@" -Wall -Werror -o "$made_program" $(flags --cflags covey-sweep) "$source" $libraries
}
libraries=$(flags --libs covey-sweep)
compile_sweep sweep-c11 sweep.c cc -std=c11
t 'the program of covey-sweep(3) compiles as installed' status_is 0
run_installed "$TMPDIR/sweep-c11"
t 'and it sweeps' out_has '{"x": '
if command -v c++ >/dev/null; then
    compile_sweep sweep-cxx sweep.cc c++ -std=c++17
    t 'as C++17 too' status_is 0
    run_installed "$TMPDIR/sweep-cxx"
    t 'and it sweeps' out_has '{"x": '
else
    skip 'as C++17 too' 'no C++ compiler'
fi
# Ours static, what they need as the system has it.
libraries="$(flags --libs-only-L covey-sweep) -Wl,-Bstatic -lcovey-sweep -lcovey -Wl,-Bdynamic \
    $(flags --libs libzmq sqlite3 json-c yaml-0.1) -lm"
compile_sweep sweep-static sweep.c cc
t 'and with the static libraries' status_is 0
t 'of which none is loaded' bash -c "! readelf -d '$TMPDIR/sweep-static' | grep libcovey"
run_installed "$TMPDIR/sweep-static"
t 'and it sweeps' out_has '{"x": '
run make -s uninstall DESTDIR="$TMPDIR/dest" PREFIX=/usr
t 'uninstall leaves no file' bash -c "[ -z \"\$(find '$TMPDIR/dest' ! -type d)\" ]"

# ---- the library -----------------------------------------------------------------------------

run bash -c "nm -D --defined-only '$build/libcovey.so' | awk '{print \$3}' | grep -v '^covey_' |
    grep -v '^COVEY_0'"
t 'libcovey.so shows covey_ names only' out_empty
run bash -c "nm -D --defined-only '$build/libcovey-sweep.so' | awk '{print \$3}' |
    grep -v '^covey_\(sweep\|trial\)_' | grep -v '^COVEY_SWEEP_0'"
t 'libcovey-sweep.so shows covey_sweep_ and covey_trial_ names only' out_empty
run bash -c "readelf -d '$build/libcovey.so' | grep NEEDED"
t 'libcovey.so loads neither libuv nor SQLite' bash -c "! grep -qE 'libuv|sqlite|msgpack' '$out'"
run bash -c "sed -n 's/^[a-zA-Z].*[ *]\(covey_[a-z0-9_]*[a-z0-9]\)(.*/\1/p' include/covey.h |
    sort -u | while read -r name; do
        nm -D --defined-only '$build/libcovey.so' | grep -qE \" \$name(@|\\\$)\" || echo \$name; done |
    grep -vxE 'covey_(span|object|handle)'"
t 'every function of covey.h is there' out_empty
run bash -c "sed -n 's/^[a-zA-Z].*[ *]\(covey_[a-z0-9_]*[a-z0-9]\)(.*/\1/p' include/covey/sweep.h |
    sort -u | while read -r name; do
        nm -D --defined-only '$build/libcovey-sweep.so' '$build/libcovey.so' |
            grep -qE \" \$name(@|\\\$)\" || echo \$name; done"
t 'every function of covey/sweep.h is there' out_empty
echo '#include "covey/sweep.h"' >"$TMPDIR/alone.c"
run cc -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$TMPDIR/alone.c"
t 'covey/sweep.h stands alone, as C11' status_is 0
echo '#include "covey.h"' >"$TMPDIR/alone.c"
run cc -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$TMPDIR/alone.c"
t 'covey.h stands alone, as C11' status_is 0
if command -v c++ >/dev/null; then
    run c++ -x c++ -std=c++17 -Wall -Wextra -Werror -Iinclude -fsyntax-only "$TMPDIR/alone.c"
    t 'and as C++17' status_is 0
else
    skip 'and as C++17' 'no C++ compiler'
fi
for page in covey.1 covey.3 covey-sweep.3 covey-sweep.5; do
    if command -v man >/dev/null && command -v groff >/dev/null; then
        run bash -c "LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l -Tutf8 tools/man/$page 2>&1 >/dev/null"
        t "$page has no mistakes" out_empty
    else
        skip "$page has no mistakes" 'no man'
    fi
done
# The page of the sweep file: its example is one, and it has all keys of covey's own.
sed -n '/^name: mnist/,/^\.fi/p' tools/man/covey-sweep.5 | sed '/^\.fi/d; s/\\-/-/g' >"$TMPDIR/page.yaml"
run "$covey" sweep preview "$TMPDIR/page.yaml"
t 'the file of covey-sweep(5) is understood' status_is 0
keys=$(sed -n 's/^ *{"\([a-z_]*\)", SPEC_.*/\1/p; s/.*OPTION(\([a-z_]*\),.*/\1/p' runtime/sweep/spec/spec_covey.c
    grep -o 'ITEM([a-z]*)' runtime/sweep/spec/spec_covey.c | tr -d '()ITEM' | grep -v '^name$')
t 'it has many keys' [ "$(wc -w <<<"$keys")" -ge 35 ]
for key in $keys; do
    t "covey-sweep(5) has $key" grep -qw -- "$key" tools/man/covey-sweep.5
done
run bash -n tools/covey.bash
t 'the completion is a script' status_is 0

finish

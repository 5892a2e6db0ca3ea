#!/bin/bash
# test_wandb.sh - reports of trials: covey_report.py, the wandb module, `covey report`.
#
# A small Python program plays the sweep's end of the socket: it writes down the lines
# that come, and answers each.
# shellcheck disable=SC2016,SC2317 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"

if ! command -v python3 >/dev/null; then
    skip 'reports from Python' 'there is no python3'
    finish
fi

python=$top/runtime/sweep/python
lines=$TMPDIR/lines
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
unset PYTHONPATH WANDB_MODE WANDB_RUN_ID WANDB_PROJECT WANDB_NAME
cd "$TMPDIR" || exit 1

cat >sweep.py <<'END'
import os, socket, sys, threading

s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind(sys.argv[1] + ".new")
s.listen(16)
os.rename(sys.argv[1] + ".new", sys.argv[1])
lock = threading.Lock()

def serve(peer):
    for line in peer.makefile("r"):
        with lock, open(sys.argv[2], "a") as f:
            f.write(line)
        if '"bad"' in line:
            answer = r'{"stop":false,"error":"step \"2\" is below 5"}'
        elif '"hang_up"' in line:
            peer.shutdown(socket.SHUT_RDWR)
            return
        else:
            answer = '{"stop": true}' if '"beaten"' in line else '{"stop":false}'
        peer.sendall(answer.encode() + b"\n")

while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
END
python3 sweep.py "$TMPDIR/socket" "$lines" &
sweep=$!
trap 'kill $sweep; wait $sweep 2>/dev/null; rm -f "$TMPDIR/socket"' EXIT
t 'the sweep of this test listens' until_true [ -S "$TMPDIR/socket" ]

# What the last script reported, without blanks, is exactly these lines.
told()
{
    printf '%s\n' "$@" >expected
    [ $# -gt 0 ] || : >expected
    tr -d ' ' <"$lines" | diff expected - | sed 's/^/# /'
    tr -d ' ' <"$lines" | cmp -s expected -
}
# script NAME=VALUE... <PROGRAM: run it as a trial.
script()
{
    cat >script.py
    : >"$lines"
    run env COVEY_REPORT="$TMPDIR/socket" PYTHONPATH="$python" "$@" python3 script.py
}

# ---- covey report ------------------------------------------------------------------

report() { : >"$lines"; run env COVEY_REPORT="$TMPDIR/socket" "$covey" report "$@"; }

report loss=0.3 step=5
t 'covey report: status 0' status_is 0
t 'covey report: silent' out_empty
t 'covey report: its line' told '{"loss":0.3,"step":5}'
report loss=nan up=inf down=-inf small=1e-7 'a"b=-2'
t 'covey report: what is not finite' told '{"loss":NaN,"up":Infinity,"down":-Infinity,"small":1e-07,"a\"b":-2}'
report beaten=1
t 'covey report: told to stop: status 10' status_is 10
report bad=1
t 'covey report: refused: status 4' status_is 4
t 'covey report: refused: why' err_has 'step "2" is below 5'
report hang_up=1
t 'covey report: no answer: status 1' status_is 1
for bad in loss loss= =1 loss=abc loss=1x step=1.5 step=-1 --verboze; do
    report $bad
    t "covey report $bad: status 2" status_is 2
    t "covey report $bad: nothing is reported" told
done
report
t 'covey report without words: status 2' status_is 2
run env -u COVEY_REPORT "$covey" report loss=1
t 'covey report without a sweep: status 3' status_is 3
run env COVEY_REPORT="$TMPDIR/nothing" "$covey" report loss=1
t 'covey report to a sweep that has gone: status 1' status_is 1

# ---- covey_report.py -----------------------------------------------------------------

script <<'END'
import os
from covey_report import report
class Scalar:
    def item(self): return 0.5
assert report(step=1, loss=0.3) is False
assert report({"loss": float("nan"), "up": float("inf")}) is False
assert report(3, loss=Scalar()) is False
assert report({"a": {"b": 1}}, step=None) is False
pid = os.fork()
if pid == 0:
    report(child=1)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
report(bad=1)
report(hang_up=1)
report(after=1)
assert report(beaten=1) is True
assert report(later=1) is True
END
t 'covey_report.py: status 0' status_is 0
t 'covey_report.py: its lines' told '{"step":1,"loss":0.3}' '{"loss":NaN,"up":Infinity}' \
    '{"step":3,"loss":0.5}' '{"a":{"b":1}}' '{"child":1}' '{"bad":1}' '{"hang_up":1}' '{"after":1}' \
    '{"beaten":1}' '{"later":1}'
t 'covey_report.py: a refusal is a warning' err_has 'step "2" is below 5'
t 'covey_report.py: so is a missing answer' err_has 'no answer from the sweep'
echo 'import covey_report; assert covey_report.report(loss=1) is False' >script.py
run env -u COVEY_REPORT PYTHONPATH="$python" python3 script.py
t 'covey_report.py without a sweep: nothing' status_is 0
t 'covey_report.py without a sweep: silent' err_empty

# ---- wandb -------------------------------------------------------------------------------

mkdir trial
export COVEY_TRIAL_DIR=$TMPDIR/trial COVEY_TRIAL_PARAMS=$TMPDIR/params.json
echo '{"lr": 0.01, "opt": {"kind": "sgd"}}' >params.json

script WANDB_RUN_ID=covey-0007 <<'END'
import argparse, os, wandb
assert wandb.config.lr == 0.01              # before init(), too
with wandb.init(project="p", config={"lr": 1, "batch": 32, "opt": {"kind": "adam", "decay": 0}}) as run:
    c = wandb.config
    assert c is run.config and wandb.run is run and run.id == "covey-0007"
    assert c.lr == 0.01 and c["lr"] == 0.01 and c.get("batch") == 32 and c.get("none", 5) == 5
    assert c.opt == {"kind": "sgd", "decay": 0}
    c.update({"lr": 3, "depth": 2}); c.lr = 4; c["lr"] = 5; c.width = 8
    c.update(argparse.Namespace(momentum=0.9))
    assert sorted(c.keys()) == ["batch", "depth", "lr", "momentum", "opt", "width"]
    assert c.as_dict()["lr"] == 0.01 and "width" in c and dict(c)["width"] == 8
    assert run.dir == os.environ["COVEY_TRIAL_DIR"]
    try:
        c.nothing
        assert False
    except AttributeError:
        pass
    wandb.define_metric("loss", summary="min")
    wandb.log({"loss": 0.5, "note": "text", "ok": True, "val": {"acc": 0.25, "deep": {"x": 1}}})
    wandb.log({"a": 1}, commit=False)
    wandb.log({"b": 2})
    run.log({"loss": 0.25})
    assert run.step == 3
    assert run.summary["loss"] == 0.25 and wandb.summary["val.acc"] == 0.25 and run.summary.note == "text"
    wandb.log({"open": 1}, commit=False)
    run.summary["best"] = 0.125
assert wandb.run is None
try:
    wandb.log({"loss": 1})
    assert False
except wandb.Error:
    pass
END
t 'wandb: a script with init, config, log, summary' status_is 0
t 'wandb: its reports' told '{"loss":0.5,"ok":1,"val.acc":0.25,"val.deep.x":1}' '{"a":1,"b":2}' \
    '{"loss":0.25}' '{"open":1,"best":0.125}'
t 'wandb: silent' err_empty

script <<'END'
import wandb
run = wandb.init()
wandb.log({"loss": 9}, step=3)
wandb.log({"acc": 1, "step": 77}, step=3)
wandb.log({"late": 1}, step=2)
wandb.log({"loss": 8}, step=5, commit=True)
assert run.step == 6
wandb.log({"loss": 7})
wandb.log({"loss": 6}, step=9)
wandb.log({"more": 1})
assert run.step == 10
wandb.log({"held": 1}, step=10, commit=False)
wandb.log({"loss": 5}, step=11)
END
t 'wandb: steps that are given' told '{"loss":9,"step":3}' '{"acc":1,"step":3}' '{"loss":8,"step":5}' \
    '{"loss":7,"step":6}' '{"loss":6,"step":9}' '{"more":1,"step":9}' '{"held":1,"step":10}' \
    '{"loss":5,"step":11}'
t 'wandb: a lower step is a warning' err_has 'step 2 is below 3'

script <<'END'
import wandb
wandb.init()
for epoch in range(2):
    wandb.log({"loss": 1}, step=epoch)
END
t 'wandb: steps from 0 count from 1' told '{"loss":1,"step":1}' '{"loss":1,"step":2}'
script <<'END'
import wandb
wandb.init()
wandb.log({"loss": 1}, step=2)
END
t 'wandb: and go on so after a checkpoint' told '{"loss":1,"step":3}'

script <<'END'
import wandb
wandb.init(mode="disabled")
wandb.log({"loss": 1})
assert wandb.run.summary["loss"] == 1
END
t 'wandb: disabled by the script: silent' told

script <<'END'
import wandb
from wandb import Image, Settings
wandb.login()
run = wandb.init(settings=Settings(start_method="thread"))
wandb.watch(object(), log="all"); run.watch(object()); wandb.save("x")
wandb.log({"picture": Image([1]), "another": wandb.Image([2]), "loss": 1})
table = wandb.Table(columns=["a"]); table.add_data(1)
artifact = wandb.Artifact("model", type="model"); artifact.add_file("x"); run.log_artifact(artifact)
wandb.use_artifact("x:latest"); wandb.Histogram([1]); wandb.Html("x"); wandb.alert("x", "y")
wandb.sweep({}); wandb.agent("x", function=lambda: wandb.log({"loss": 2}))
END
t 'wandb: what does nothing' status_is 0
t 'wandb: and is not reported' told '{"loss":1}' '{"loss":2}'
for name in watch save Image Table Artifact Histogram Html alert log_artifact use_artifact sweep agent; do
    t "wandb: $name says so once" [ "$(grep -c "wandb.$name " "$err")" -eq 1 ]
done

script <<'END'
import os, signal, wandb
wandb.init()
wandb.log({"beaten": 1})
wandb.log({"loss": 1})
os.kill(os.getpid(), signal.SIGTERM)
END
t 'wandb: told to stop, log() raises nothing; SIGTERM ends it' status_is 143
t 'wandb: it could report to its end' told '{"beaten":1}' '{"loss":1}'

echo 'import wandb; wandb.init(config={"lr": 3}); wandb.log({"loss": 1})
assert wandb.summary["loss"] == 1 and wandb.config.lr == 3' >script.py
: >"$lines"
run env -u COVEY_REPORT -u COVEY_TRIAL_PARAMS -u COVEY_TRIAL_DIR PYTHONPATH="$python" python3 script.py
t 'wandb outside of a trial keeps the summary' status_is 0
t 'wandb outside of a trial reports nothing' told

# ---- the real one ----------------------------------------------------------------------------

# A package with the names of the real one's that the module relies on; WandB runs
# leave a folder ./wandb, which is no package.
mkdir -p wandb site/wandb/sdk
: >site/wandb/sdk/__init__.py
cat >site/wandb/__init__.py <<'END'
import os
assert os.environ["WANDB_MODE"] == os.environ.get("EXPECTED_MODE", "offline")
assert "WANDB_SWEEP_PARAM_PATH" not in os.environ
from wandb.sdk.wandb_run import Run
run = log = None
real = True
def init(config=None, mode=None):
    global run, log
    run = Run(config or {})
    log = run.log
    return run
END
cat >site/wandb/sdk/wandb_run.py <<'END'
class Config(dict):
    def update_locked(self, values, user, _allow_val_change):
        self.update(values)
class Summary(dict):
    def _as_dict(self):
        return dict(self)
class Run:
    def __init__(self, config):
        self.config, self.summary, self.rows = Config(config), Summary(), []
    def log(self, data, step=None, commit=None, sync=None):
        self.rows.append(data)
    def finish(self):
        self.rows.append("end")
END
script PYTHONPATH="$python:$TMPDIR/site" WANDB_SWEEP_PARAM_PATH="$TMPDIR/params.json" <<'END'
import wandb
assert wandb.real
run = wandb.init(config={"lr": 1, "batch": 2})
assert run.config == {"lr": 0.01, "batch": 2, "opt": {"kind": "sgd"}}, run.config
wandb.log({"loss": 1, "note": "x"})
run.log({"loss": 2})
run.summary["best"] = 1
run.finish()
assert run.rows == [{"loss": 1, "note": "x"}, {"loss": 2}, "end"]
END
t 'wandb installed: it takes the place' status_is 0
t 'wandb installed: it reports' told '{"loss":1}' '{"loss":2}' '{"best":1}'
script PYTHONPATH="$python:$TMPDIR/site" WANDB_MODE=online EXPECTED_MODE=online <<<'import wandb; wandb.real'
t 'wandb installed: WANDB_MODE stays as it was set' status_is 0
script PYTHONPATH="$python:$TMPDIR/site" WANDB_MODE=online <<'END'
import wandb
wandb.init()
wandb.log({"loss": 1})
END
t 'wandb installed and broken: our own' status_is 0
t 'wandb installed and broken: it says so' err_has "covey's own is used"
t 'wandb installed and broken: our own reports' told '{"loss":1}'

finish

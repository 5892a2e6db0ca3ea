"""The sweep that covey and its peers run, and the table that compares them.

All have the same objective, the program `branin`, the same number of trials and as
many of them at once.  Overhead is what a slot spends on a trial beyond the program
itself: (wall time x slots) / trials - the program run alone.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OBJECTIVE = os.path.join(HERE, "branin")
LOW, HIGH = {"x": -5.0, "y": 0.0}, {"x": 10.0, "y": 15.0}


def evaluate(params):
    """One trial: the program's last word."""
    words = [f"--{name}={value}" for name, value in params.items()]
    out = subprocess.run([OBJECTIVE, *words], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return json.loads(out.stdout)["loss"]


def evaluate_alone(slots, runs=100):
    """Seconds that a run of the program takes while all slots do nothing else."""
    from concurrent.futures import ThreadPoolExecutor
    begin = time.monotonic()
    with ThreadPoolExecutor(slots) as pool:
        list(pool.map(evaluate, [{"x": 1.0, "y": 1.0}] * runs))
    return (time.monotonic() - begin) * slots / runs


def sweep_file(search, trials, slots):
    return f"""
name: peer
method: {"bayes" if search == "tpe" else "random"}
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{min: {LOW["x"]}, max: {HIGH["x"]}}}
  y: {{min: {LOW["y"]}, max: {HIGH["y"]}}}
command: ["{OBJECTIVE}", "${{args}}"]
run_cap: {trials}
covey: {{search: {search}, scheduler: {{type: none}}, parallel: {slots}, seed: 1, report: stdout}}
"""


def run_covey(covey, search, trials, slots):
    """`covey sweep run` as a user would, with the start and the end of its cluster."""
    where = tempfile.mkdtemp(prefix="covey-peer-")
    try:
        path, home = os.path.join(where, "sweep.yaml"), os.path.join(where, "sweep")
        with open(path, "w", encoding="ascii") as f:
            f.write(sweep_file(search, trials, slots))
        words = [covey, "sweep", "run", path, "--dir", home, "-q"]
        begin = time.monotonic()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        wall = time.monotonic() - begin
        best = subprocess.run([covey, "sweep", "best", home, "--json"], check=True, capture_output=True)
        return wall, json.loads(best.stdout)["value"]
    finally:
        shutil.rmtree(where, ignore_errors=True)


def print_head(trials, slots, alone):
    print(f"{trials} trials of `branin`, {slots} at once; the program alone takes {alone * 1e3:.1f} ms")
    print(f"{'':<44} {'wall s':>8} {'overhead ms':>12} {'best':>9}")


def print_row(name, wall, trials, slots, alone, best):
    overhead = (wall * slots / trials - alone) * 1e3
    print(f"{name:<44} {wall:8.2f} {overhead:12.1f} {best:9.4f}")
    sys.stdout.flush()


def slots_here():
    return len(os.sched_getaffinity(0))

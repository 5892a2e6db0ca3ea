"""See the script `optuna`."""
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import optuna

import compare

KNOWN, DIMS, REPEATS = 1000, 10, 20


def run_optuna(trials, slots, storage):
    def objective(trial):
        return compare.evaluate({k: trial.suggest_float(k, compare.LOW[k], compare.HIGH[k]) for k in compare.LOW})

    begin = time.monotonic()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1), storage=storage)
    study.optimize(objective, n_trials=trials, n_jobs=slots)
    return time.monotonic() - begin, study.best_value


def journal(where):
    backend = optuna.storages.journal.JournalFileBackend(os.path.join(where, "journal.log"))
    return optuna.storages.JournalStorage(backend)


def suggestion_ms():
    """The median of suggestions that learn from KNOWN trials."""
    numbers = random.Random(1)
    space = {f"x{i}": optuna.distributions.FloatDistribution(1, 100) for i in range(DIMS)}
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    for _ in range(KNOWN):
        params = {name: numbers.uniform(1, 100) for name in space}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space,
                                                  value=sum((v - 7) ** 2 for v in params.values())))
    times = []
    for _ in range(REPEATS):
        begin = time.monotonic()
        study.ask(space)
        times.append((time.monotonic() - begin) * 1e3)
    return statistics.median(times)


def covey_suggestion_ms(covey):
    out = subprocess.run([covey, "bench", "--json", "sweep_suggest"], check=True, capture_output=True)
    return json.loads(out.stdout.splitlines()[-1])["value"]


def main():
    covey, trials, slots = sys.argv[1], int(sys.argv[2]), compare.slots_here()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    alone = compare.evaluate_alone(slots)

    def show(name, result):
        wall, best = result
        compare.print_row(name, wall, trials, slots, alone, best)

    name = f"Optuna {optuna.__version__}"
    compare.print_head(trials, slots, alone)
    show("covey, TPE, with its cluster and record", compare.run_covey(covey, "tpe", trials, slots))
    show(f"{name}, TPE, in memory", run_optuna(trials, slots, None))
    with tempfile.TemporaryDirectory() as where:
        show(f"{name}, TPE, journal file", run_optuna(trials, slots, journal(where)))
    with tempfile.TemporaryDirectory() as where:
        url = "sqlite:///" + os.path.join(where, "study.db")
        show(f"{name}, TPE, SQLite", run_optuna(trials, slots, url))
    print(f"\na TPE suggestion, {DIMS} dimensions, {KNOWN} trials known, ms")
    print(f"  covey  {covey_suggestion_ms(covey):8.3f}")
    print(f"  Optuna {suggestion_ms():8.3f}")


main()

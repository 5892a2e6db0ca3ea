"""See the script `raytune`."""
import logging
import os
import sys
import tempfile
import time

os.environ.setdefault("RAY_DEDUP_LOGS", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray  # noqa: E402  after the environment
from ray import tune  # noqa: E402

import compare  # noqa: E402


def trainable(config):
    sys.path.insert(0, config["here"])
    import compare as there
    tune.report({"loss": there.evaluate({k: config[k] for k in ("x", "y")})})


def run_ray(trials, slots, where):
    """Wall time with and without the start of Ray, and the best value."""
    begin = time.monotonic()
    ray.init(num_cpus=slots, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False,
             _temp_dir=os.path.join(where, "ray"))
    started = time.monotonic()
    space = {k: tune.uniform(compare.LOW[k], compare.HIGH[k]) for k in compare.LOW}
    space["here"] = compare.HERE
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(num_samples=trials, metric="loss", mode="min"),
        run_config=tune.RunConfig(storage_path=where, verbose=0),
    )
    results = tuner.fit()
    ended = time.monotonic()
    if results.num_errors or len(results) != trials:
        sys.exit(f"{results.num_errors} of {trials} trials failed")
    best = results.get_best_result().metrics["loss"]
    ray.shutdown()
    return ended - begin, ended - started, best


def main():
    covey, trials, slots = sys.argv[1], int(sys.argv[2]), compare.slots_here()
    alone = compare.evaluate_alone(slots)
    compare.print_head(trials, slots, alone)
    wall, best = compare.run_covey(covey, "random", trials, slots)
    compare.print_row("covey, with its cluster", wall, trials, slots, alone, best)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as where:
        wall, without, best = run_ray(trials, slots, where)
    compare.print_row(f"Ray Tune {ray.__version__}, with its cluster", wall, trials, slots, alone, best)
    compare.print_row(f"Ray Tune {ray.__version__}, without ray.init()", without, trials, slots, alone, best)


main()

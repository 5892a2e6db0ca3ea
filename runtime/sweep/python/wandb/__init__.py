"""wandb - what scripts use of W&B's module, for trials of a covey sweep.

`covey sweep run` puts this module's directory on PYTHONPATH, so that a script which
uses wandb runs unchanged: wandb.config has the trial's parameters, and what
wandb.log() gets is reported to the sweep.  Where the real wandb is installed it takes
this module's place, offline unless WANDB_MODE says otherwise, and reports as well.

Steps     Without a step, a row counts as the sweep's next step.  W&B counts from 0
          and a sweep from 1: a script that gives step 0 has one added to all of its.
Rows      As in W&B: log(commit=False) is merged into the next log(); a step below the
          last one is left out.  A row whose step was given is reported at once, and
          what is logged later for the same step is merged by the sweep.
Numbers   Nested dictionaries become "outer.inner"; what is no number is not reported,
          nor is a metric named "step", which would be taken for the step.
Stopping  log() raises nothing: the sweep ends a beaten trial with SIGTERM.

For Python 3.6 and later, without dependencies.
"""
import atexit
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Mapping

import covey_report

__version__ = "0.0.0+covey"


class Error(Exception):
    """W&B's base of what it raises."""


UsageError = CommError = Error
_said = set()


def _say_once(name, text="does nothing in a covey sweep"):
    if name not in _said:
        _said.add(name)
        sys.stderr.write("covey: wandb.%s %s\n" % (name, text))


def _swept():
    """The parameters that the sweep has chosen for this trial."""
    path = os.environ.get("COVEY_TRIAL_PARAMS")
    if not path:
        return {}
    with open(path) as f:
        return json.load(f)


# ---- rows: from log() to reports ----------------------------------------------------

def _number(value):
    """A Python number, or None: scalars of numpy and torch have item()."""
    try:
        if hasattr(value, "item"):
            value = value.item()
    except Exception:           # more than one element; anything can be logged
        return None
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, (int, float)) else None


def _flat(data, prefix=""):
    """(name, value) of each leaf of nested dictionaries."""
    for key, value in data.items():
        name = prefix + str(key)
        if isinstance(value, Mapping):
            for leaf in _flat(value, name + "."):
                yield leaf
        else:
            yield name, value


class _Rows:
    """The history: which row is open, and what of it is not reported yet."""

    def __init__(self):
        self.step = 0           # of the open row
        self.given = False      # was a step ever given?
        self.pending = {}
        self.reported = set()   # names
        trial = os.environ.get("COVEY_TRIAL_DIR")
        # A run that goes on from a checkpoint begins at a later step: what an earlier
        # run has learned about the script's first one is kept in this file.
        self.zero_mark = os.path.join(trial, "wandb-steps-from-0") if trial else None
        self.from_zero = bool(trial) and os.path.exists(self.zero_mark)

    def add(self, data, step, commit):
        """W&B's log().  False: the step is lower than the open row's."""
        hold = commit is False
        if commit is None:
            commit = step is None
        if step is not None:
            step = int(step)
            if step < self.step:
                sys.stderr.write("covey: wandb.log(): step %d is below %d and left out\n"
                                 % (step, self.step))
                return False
            if step > self.step:
                self.flush()
                self.step = step
            self.take_given(step)
        for name, value in _flat(data):
            number = _number(value)
            if number is not None and name != "step":
                self.pending[name] = number
        if not hold:
            self.flush()
        if commit:
            self.step += 1
        return True

    def take_given(self, step):
        self.given = True
        if step == 0 and not self.from_zero:
            self.from_zero = True
            if self.zero_mark:
                open(self.zero_mark, "w").close()

    def flush(self):
        if self.pending:
            row, self.pending = self.pending, {}
            self.reported.update(row)
            if self.given:
                row["step"] = self.step + self.from_zero
            covey_report.report(row)

    def end(self, summary):
        """What was set in the summary alone counts as the last row: it may be the metric."""
        self.pending.update((name, _number(value)) for name, value in _flat(summary)
                            if _number(value) is not None and name != "step"
                            and not name.startswith("_") and name not in self.reported)
        self.flush()


# ---- config, summary -------------------------------------------------------------------

def _mapping(values):
    """A dictionary of what init(config=) and config.update() take."""
    if values is None:
        return {}
    if isinstance(values, str):
        if not values.endswith(".json"):
            raise UsageError("covey's wandb reads config files in JSON alone: %s" % values)
        with open(values) as f:
            return json.load(f)
    return dict(values) if hasattr(values, "keys") else dict(vars(values))


def _filled(value, default):
    """@value, and what it lacks of @default where both are nested."""
    if not isinstance(value, dict) or not isinstance(default, dict):
        return value
    out = dict(default)
    out.update((k, _filled(v, default.get(k))) for k, v in value.items())
    return out


class Config:
    """Parameters; what is swept keeps the sweep's value whatever the script sets."""

    def __init__(self, swept):
        object.__setattr__(self, "_items", dict(swept))
        object.__setattr__(self, "_locked", frozenset(swept))

    def __setitem__(self, name, value):
        self._items[name] = _filled(self._items[name], value) if name in self._locked else value

    def __getitem__(self, name):
        return self._items[name]

    def __setattr__(self, name, value):
        self[name] = value

    def __getattr__(self, name):
        if name.startswith("__") or name not in self._items:
            raise AttributeError("the config has no %r" % name)
        return self._items[name]

    def update(self, values=None, allow_val_change=None, **more):
        for part in (_mapping(values), more):
            for name, value in part.items():
                self[name] = value

    def setdefaults(self, values):
        for name, value in _mapping(values).items():
            if name not in self._items or name in self._locked:
                self[name] = value

    def get(self, name, default=None):
        return self._items.get(name, default)

    def __contains__(self, name):
        return name in self._items

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)

    def keys(self):
        return self._items.keys()

    def values(self):
        return self._items.values()

    def items(self):
        return self._items.items()

    def as_dict(self):
        return dict(self._items)

    def __repr__(self):
        return repr(self._items)


class Summary(dict):
    """The last value of everything that was logged, and what the script sets."""

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError("the summary has no %r" % name)
        return self[name]

    def __setattr__(self, name, value):
        self[name] = value


# ---- a run ------------------------------------------------------------------------------

class Run:
    """What init() returns."""

    def __init__(self, name=None, id=None, project=None, dir=None, disabled=False, **about):
        self.id = id or os.environ.get("WANDB_RUN_ID") or "covey-%d" % os.getpid()
        self.name = name or os.environ.get("WANDB_NAME") or self.id
        self.project = project or os.environ.get("WANDB_PROJECT") or "uncategorized"
        self.dir = str(dir or os.environ.get("COVEY_TRIAL_DIR") or os.getcwd())
        self.sweep_id = os.environ.get("WANDB_SWEEP_ID")
        self.group, self.job_type = about.get("group"), about.get("job_type")
        self.tags, self.notes = tuple(about.get("tags") or ()), about.get("notes")
        self.entity, self.url, self.resumed = about.get("entity"), None, False
        self.disabled = disabled
        self.config, self.summary = Config(_swept()), Summary()
        self.finished = False
        self._rows = _Rows()

    @property
    def step(self):
        return self._rows.step

    def log(self, data, step=None, commit=None, sync=None):
        if not isinstance(data, Mapping):
            raise ValueError("wandb.log() takes a dictionary")
        if self.finished:
            raise UsageError("run %s is finished" % self.id)
        if self.disabled or self._rows.add(data, step, commit):
            self.summary.update(_flat(data))

    def finish(self, exit_code=None, quiet=None):
        global run
        if not self.finished:
            self.finished = True
            if not self.disabled:
                self._rows.end(self.summary)
        if run is self:
            run = None

    def define_metric(self, name=None, **how):
        """How W&B would plot it: nothing that a sweep asks for."""

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.finish(exit_code=1 if kind else 0)
        return False

    def __getattr__(self, name):
        if name in _FUNCTIONS:
            return globals()[name]
        raise AttributeError("covey's wandb.Run has no %r" % name)


run = None
config = Config(_swept())
summary = Summary()


def init(project=None, config=None, config_exclude_keys=None, config_include_keys=None, mode=None,
         **about):
    """Begin a run; the one that has begun goes on.

    @mode "disabled" reports nothing, as processes of a distributed training ask that
    are not the first.  WANDB_MODE does not switch off the sweep's metric.
    """
    global run
    if run is None:
        run = Run(project=project, disabled=mode == "disabled", **about)
        globals()["config"], globals()["summary"] = run.config, run.summary
        atexit.register(run.finish)
    values = _mapping(config)
    run.config.update({k: v for k, v in values.items()
                       if k not in (config_exclude_keys or ())
                       and (not config_include_keys or k in config_include_keys)})
    return run


def _current():
    if run is None:
        raise Error("You must call wandb.init() before this")
    return run


def log(data, step=None, commit=None, sync=None):
    _current().log(data, step=step, commit=commit)


def define_metric(name=None, **how):
    return _current().define_metric(name, **how)


def finish(exit_code=None, quiet=None):
    if run is not None:
        run.finish(exit_code)


def login(*args, **kwargs):
    """Nobody needs to log in here."""
    return True


def setup(*args, **kwargs):
    return None


# ---- what does nothing ---------------------------------------------------------------------

class _Nothing:
    """Takes every argument and every call."""

    def __init__(self, *args, **kwargs):
        _say_once(type(self).__name__)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


class Settings:
    """How W&B would run; kept and not looked at."""

    def __init__(self, **settings):
        self.__dict__.update(settings)


def _nothing(name, result=None):
    def function(*args, **kwargs):
        _say_once(name)
        return result() if result else None
    function.__name__ = name
    return function


_CLASSES = ("Image", "Table", "Artifact", "Histogram", "Html", "Audio", "Video", "Object3D", "Plotly",
            "Molecule", "Graph", "Api")
_FUNCTIONS = ("watch", "unwatch", "save", "restore", "alert", "log_code", "mark_preempting",
              "log_artifact", "use_artifact", "link_artifact", "log_model")
for _name in _CLASSES:
    globals()[_name] = type(_name, (_Nothing,), {})
for _name in _FUNCTIONS:
    globals()[_name] = _nothing(_name, Artifact if "artifact" in _name else None)  # noqa: F821
plot = type("plot", (_Nothing,), {"__init__": lambda self: None})()


def sweep(sweep=None, *args, **kwargs):
    _say_once("sweep", "does nothing: covey runs the sweep, by its own file")
    return os.environ.get("WANDB_SWEEP_ID", "covey")


def agent(sweep_id=None, function=None, *args, **kwargs):
    """Its function is one trial, and this process is one trial."""
    _say_once("agent", "calls its function once: covey runs the sweep")
    if function:
        function()


# ---- the real one -----------------------------------------------------------------------------

def _find_real():
    """W&B's module further along the path.  A folder ./wandb, where W&B keeps its runs, is
    none."""
    own = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    path = [p for p in sys.path if os.path.realpath(p or ".") != own]
    spec = importlib.machinery.PathFinder.find_spec("wandb", path)
    return spec if spec and spec.origin and spec.origin.endswith("__init__.py") else None


def _patch(real):
    """Let the real one's runs have the swept parameters, and report."""
    made = getattr(sys.modules.get("wandb.sdk.wandb_run"), "Run", None) or real.Run
    real_init, real_log, real_finish = real.init, made.log, made.finish
    rows = {}                   # of each run, by its identity

    def init(*args, **kwargs):
        new = real_init(*args, **kwargs)
        swept = _swept()
        if hasattr(new.config, "update_locked"):
            new.config.update_locked(swept, user="sweep", _allow_val_change=True)
        else:
            new.config.update(swept, allow_val_change=True)
        if kwargs.get("mode") != "disabled" and id(new) not in rows:
            rows[id(new)] = _Rows()
            atexit.register(end, new)
        return new

    def end(self):
        row = rows.pop(id(self), None)
        if row:
            try:
                values = self.summary._as_dict()
            except Exception:   # of a run that W&B has torn down
                values = {}
            row.end(values)

    def log(self, data, step=None, commit=None, *args, **kwargs):
        result = real_log(self, data, step, commit, *args, **kwargs)
        if id(self) in rows and isinstance(data, Mapping):
            rows[id(self)].add(data, step, commit)
        return result

    def finish(self, *args, **kwargs):
        end(self)
        return real_finish(self, *args, **kwargs)

    real.init, made.log, made.finish = init, log, finish


def _wrap():
    spec = _find_real()
    if spec is None:
        return
    os.environ.setdefault("WANDB_MODE", "offline")
    # The real one expects another format there, that of W&B's agent.
    params = os.environ.pop("WANDB_SWEEP_PARAM_PATH", None)
    own = sys.modules[__name__]
    real = importlib.util.module_from_spec(spec)
    sys.modules[__name__] = real    # what `import wandb` gives
    try:
        spec.loader.exec_module(real)
        _patch(real)
    except Exception as error:
        for name in [n for n in sys.modules if n.startswith(__name__ + ".")]:
            del sys.modules[name]
        sys.modules[__name__] = own
        if params:
            os.environ["WANDB_SWEEP_PARAM_PATH"] = params
        _say_once("import", "of the installed wandb failed (%s); covey's own is used" % error)


if covey_report.is_trial():
    _wrap()

"""covey_report - tell the sweep that started this program how it goes.

    import covey_report

    for epoch in range(1, 28):
        loss = train()
        if covey_report.report(step=epoch, loss=loss):
            break                       # beaten: save and leave

One file, without dependencies, for Python 3.6 and later; copy it wherever you
like.  Without a sweep ($COVEY_REPORT is not set) report() does nothing.

Protocol: $COVEY_REPORT names a unix stream socket.  One JSON object a line,
{"step": 5, "loss": 0.3}, is answered by one line, {"stop": false}; a report that
is refused by {"stop": false, "error": "why"}.
"""
import json
import os
import socket
import sys
import threading

ANSWER_S = 600                  # to wait for an answer: it may come after copies of checkpoints
LINE_MAX = 64 * 1024            # bytes of one report; the other end hangs up beyond

_lock = threading.Lock()
_connection = None              # (process, socket, bytes that follow the last answer)
_stop = False                   # what the sweep has said; it does not change its mind


def is_trial():
    """Did a sweep start this program?"""
    return bool(os.environ.get("COVEY_REPORT"))


def should_stop():
    """Has an answer said stop?"""
    return _stop


def report(*args, **metrics):
    """report(step=5, loss=0.3), report(5, loss=0.3) or report({"step": 5, "loss": 0.3}).

    Without a step it is the next one.  Waits for the answer.  True: the trial is to
    stop.  What cannot be reported is a warning on standard error, never an exception:
    a sweep that has gone is no reason to end a training.
    """
    global _stop
    content = {}
    for arg in args:
        content.update(arg if hasattr(arg, "keys") else {"step": arg})
    content.update(metrics)
    if content.get("step", 0) is None:
        del content["step"]
    if not is_trial():
        return False
    line = json.dumps(content, default=_plain).encode() + b"\n"
    if len(line) > LINE_MAX:
        _warn("a report has at most %d bytes; this one is left out" % LINE_MAX)
        return _stop
    try:
        with _lock:
            answer = _ask(line)
        _stop = _stop or bool(answer.get("stop"))
        if answer.get("error"):
            _warn("the report was refused: %s" % answer["error"])
    except (OSError, ValueError, AttributeError) as error:
        _hang_up()
        _warn("no answer from the sweep: %s" % error)
    return _stop


def _plain(value):
    """Scalars of numpy and torch know their Python number."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError("a report has numbers, not %s" % type(value).__name__)


def _warn(text):
    sys.stderr.write("covey: warning: %s\n" % text)


def _hang_up():
    global _connection
    if _connection:
        _connection[1].close()
    _connection = None


def _connect():
    global _connection
    _hang_up()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(ANSWER_S)
    try:
        s.connect(os.environ["COVEY_REPORT"])
    except OSError:
        s.close()
        raise
    _connection = (os.getpid(), s, b"")


def _ask(line):
    """Send @line and return the answer.  A child process gets a connection of its own,
    since two on one would take each other's answers."""
    global _connection
    if not _connection or _connection[0] != os.getpid():
        _connect()
    try:
        _connection[1].sendall(line)
    except ConnectionError:     # closed since the last one: nothing was taken
        _connect()
        _connection[1].sendall(line)
    pid, s, received = _connection
    while b"\n" not in received:
        more = s.recv(4096)
        if not more:
            raise OSError("the connection was closed")
        received += more
    answer, rest = received.split(b"\n", 1)
    _connection = (pid, s, rest)
    return json.loads(answer.decode())


def _after_fork():
    """Another thread may have held the lock."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

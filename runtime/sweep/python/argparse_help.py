"""Run PROGRAM [ARGS] --help so that argparse and click tell each option's default.

    python -c "$(cat argparse_help.py)" PROGRAM [ARGS] --help

Their help texts name no default unless the author asked for it.  argparse tells the
type too.  Programs with neither print what they print.
"""
import argparse
import os
import runpy
import sys

_add_argument = argparse._ActionsContainer.add_argument


def _add_and_tell(self, *names, **options):
    action = _add_argument(self, *names, **options)
    if action.help == argparse.SUPPRESS or not action.option_strings:
        return action
    told = action.help or ""
    if action.default not in (None, argparse.SUPPRESS) and "default" not in told.lower():
        told += " (default: %(default)s)"
    if isinstance(action.type, type):
        told += " (type: %s)" % action.type.__name__
    action.help = told.strip() or None
    return action


def _show_defaults(option):
    make = option.__init__

    def make_and_show(self, *args, **settings):
        settings.setdefault("show_default", True)
        make(self, *args, **settings)

    option.__init__ = make_and_show


argparse._ActionsContainer.add_argument = _add_and_tell
try:
    import click
    _show_defaults(click.Option)
except ImportError:
    pass
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")

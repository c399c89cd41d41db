"""The command line in the process of the tests, which imports once: `run("status", cwd=folder).stdout`.

A process of its own costs one to ten seconds of importing a time. Those tests alone start one that are
about the process: how it is entered, killed, how much it takes, what the environment says as it starts.
"""

import contextlib
import io
import os
import subprocess
import sys
import traceback
from unittest import mock

from preceptor.toolkit.cli.main import main


def run(*arguments, cwd=None, env=None):
    """What `preceptor …` says and its exit code, in a folder and in an environment, as `subprocess.run` has it."""
    argv = ["preceptor", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd or "."),
        mock.patch.dict(os.environ, os.environ if env is None else env, clear=True),
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", io.StringIO()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = _ended(err)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


def _ended(err):
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            err.write(ended.code + "\n")
            return 1
        return ended.code or 0
    except Exception:
        err.write(traceback.format_exc())
        return 1
    return 0

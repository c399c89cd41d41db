"""The command line many times in one process, which imports once: for tests of what talks to the Hub.

Reads {"arguments": […], "environment": {"HF_TOKEN": …}} as lines of JSON on stdin, and answers each with
{"code": 0, "stdout": …, "stderr": …}. Waits between attempts are cut short.
"""

import contextlib
import io
import json
import os
import sys
import time

from preceptor.toolkit.cli.main import main

sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.02))

for line in sys.stdin:
    asked = json.loads(line)
    os.environ.update(asked["environment"])
    sys.argv = ["preceptor", *asked["arguments"]]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    answer = {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}
    sys.__stdout__.write(json.dumps(answer) + "\n")
    sys.__stdout__.flush()

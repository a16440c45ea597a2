"""ASOF_LOG_FORMAT=json: whatever a process says is a line of JSON."""

import json
import subprocess
import sys

from asof.settings import PROJECT

SAYS = """
import logging, sys, threading, warnings
from asof.serving.logs.json_log import configure_logging
configure_logging(sys.argv[1])
logging.getLogger("bentoml.serve").setLevel("INFO")
logging.getLogger("bentoml.serve").info("listening on %s", 3000)
logging.getLogger("uvicorn.error").error("two\\nlines", extra={"odd": object()})
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("circus").exception("it failed")
logging.getLogger("asof").error("a file %s", "\\udce9.csv", stack_info=True)
warnings.warn("old", DeprecationWarning)
print("Error: from click", file=sys.stderr)
sys.stderr.write("half a ")
sys.stderr.write("line\\n")
thread = threading.Thread(target=lambda: {}["absent"])
thread.start(); thread.join()
raise RuntimeError("uncaught")
"""


def _said(form: str) -> tuple[list[str], int]:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", SAYS, form], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return [*done.stdout.splitlines(), *done.stderr.splitlines()], done.returncode


def test_records_warnings_bare_text_and_uncaught_errors_are_lines_of_json() -> None:
    lines, code = _said("json")
    records = [json.loads(line) for line in lines]
    assert code == 1
    assert all(list(each)[:4] == ["at", "level", "logger", "message"] for each in records)
    seen = {each["message"]: (each["level"], each["logger"]) for each in records}
    assert seen["listening on 3000"] == ("INFO", "bentoml.serve")
    assert seen["two\nlines"] == ("ERROR", "uvicorn.error")
    assert seen[r"a file \udce9.csv"] == ("ERROR", "asof")
    assert next(each["stack"] for each in records if each["logger"] == "asof").startswith("Stack")
    assert seen["Error: from click"] == seen["half a line"] == ("ERROR", "stderr")
    assert seen["uncaught"] == ("CRITICAL", "python")
    assert any("DeprecationWarning: old" in message for message in seen)
    raised = {each["message"]: each["exception"] for each in records if "exception" in each}
    assert "ZeroDivisionError" in raised["it failed"]
    assert "RuntimeError: uncaught" in raised["uncaught"]
    assert sum("KeyError: 'absent'" in line for line in lines) >= 1


AT_ONCE = """
import sys, threading
from asof.serving.logs.json_log import configure_logging
configure_logging("json")
def say(number):
    for line in range(200):
        print(f"thread {number} line {line}", file=sys.stderr)
threads = [threading.Thread(target=say, args=(number,)) for number in range(4)]
[each.start() for each in threads], [each.join() for each in threads]
"""


def test_no_line_is_lost_of_threads_that_write_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE], cwd=PROJECT, capture_output=True, text=True, check=True)
    messages = sorted(json.loads(line)["message"] for line in done.stdout.splitlines())
    assert messages == sorted(f"thread {number} line {line}" for number in range(4) for line in range(200))


def test_each_record_is_written_once() -> None:
    lines, _ = _said("json")
    assert sum("two" in line for line in lines) == 1


def test_text_stays_as_it_was() -> None:
    lines, _ = _said("text")
    assert "Error: from click" in lines
    assert "RuntimeError: uncaught" in lines

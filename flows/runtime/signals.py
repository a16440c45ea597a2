"""SIGTERM and SIGHUP end a command as an error does: what it started is ended with it."""

import signal
import threading
from types import FrameType


def end_orderly() -> None:
    """From now on a first such signal unwinds this process, and its servers are ended; a second one kills it.

    Prefect ends its temporary server when the interpreter exits, which it does not by a signal's own effect. A signal
    that is ignored (`nohup`), or that somebody else handles, is left as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)

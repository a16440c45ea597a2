"""One GET -> status and body, or why there is no answer."""

import re
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import Any

import httpx

from asof import bounded_http

SECONDS = 5.0
"""For a whole answer: no timeout of the client covers the look-up of a name, or an answer that drips."""


@dataclass(frozen=True)
class Answer:
    """What came back. `status` is 0 where nothing did: `trouble` says why. `body` is `text` as JSON, or None."""

    status: int
    body: Any = None
    trouble: str = ""
    text: str = ""


def ask(address: str, path: str) -> Answer:
    """One GET. A user and a password in the address are used, and not shown."""
    answers: Queue[Answer] = Queue()
    Thread(target=lambda: answers.put(_asked(address, path)), daemon=True).start()
    try:
        return answers.get(timeout=SECONDS + 0.5)
    except Empty:
        return Answer(0, trouble=f"no whole answer within {SECONDS:g} seconds")


def _asked(address: str, path: str) -> Answer:
    try:
        url = httpx.URL(address)
        auth = (url.username, url.password) if url.userinfo else None
        to = url.copy_with(username=None, password=None, raw_path=f"{url.path.rstrip('/')}{path}".encode())
        answer = bounded_http.request("GET", to, auth=auth, timeout=SECONDS)
    except httpx.HTTPError as error:
        said = str(error).rstrip(".")
        return Answer(0, trouble=type(error).__name__ if "@" in said else said or type(error).__name__)
    except (httpx.InvalidURL, ValueError):  # which quotes what it could not read, and that may be the password
        return Answer(0, trouble="it cannot be read as an address")
    return Answer(answer.status_code, _json(answer), text=answer.text)


def shown(address: str) -> str:
    """The address without what stands before an `@`: a malformed one may hold the password anywhere before it."""
    return re.sub(r"^([\w+]+://)?.*@", r"\1", address, flags=re.DOTALL)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None

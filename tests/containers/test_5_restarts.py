"""What a restart, the loss of PostgreSQL or a stop under load costs: nothing that was stored, no request in flight."""

import threading
import time
from collections import Counter

import httpx

from tests.containers.stack_kit import LONG_RUNNING, Stack, run, until

CALLERS = 8


def test_all_containers_start_anew_and_the_answer_is_the_same(stack: Stack) -> None:
    before = stack.predict().json()

    stack.compose("restart", "--timeout", "20", *LONG_RUNNING)
    stack.account["ready after a restart of everything"] = f"{stack.wait_until_ready():.0f} s"

    stack.wait_until_healthy()
    after = stack.predict().json()
    assert {**after, "request_id": ""} == {**before, "request_id": ""}
    assert stack.sql("asof", "SELECT count(*) > 0 FROM promotions") == "t"


def test_without_postgresql_it_says_503_and_recovers_by_itself(stack: Stack) -> None:
    before = stack.predict().json()["probability"]
    run("docker", "kill", stack.container("postgres"))
    lost = until(lambda: (got := stack.predict()).status_code != 200 and got, "the loss of PostgreSQL is told")

    assert lost.status_code == 503, lost.text
    assert lost.json()["code"] == "feature-store-unavailable"
    assert int(lost.headers["Retry-After"]) > 0
    assert not stack.is_ready()

    begun, started = time.monotonic(), stack.inspect("prediction")["State"]["StartedAt"]
    stack.compose("start", "postgres")
    until(lambda: stack.predict().status_code == 200, "it recovers")
    stack.account["recovered after PostgreSQL came back"] = f"{time.monotonic() - begun:.1f} s"
    assert stack.predict().json()["probability"] == before
    assert stack.inspect("prediction")["State"]["StartedAt"] == started
    stack.wait_until_healthy()


class Caller(threading.Thread):
    """Asks, one request after the other, until it is not answered; `last` is when that request was begun."""

    def __init__(self, address: str, headers: dict[str, str], user: str) -> None:
        super().__init__()
        self.statuses: Counter[int] = Counter()
        self.last, self.end = 0.0, ""
        self._ask = lambda: httpx.post(f"{address}/predict", json={"user_id": user}, headers=headers, timeout=30)

    def run(self) -> None:
        while not self.end:
            self.last = time.monotonic()
            try:
                self.statuses[self._ask().status_code] += 1
            except httpx.HTTPError as error:
                self.end = type(error).__name__


def test_a_stop_under_load_answers_all_that_was_asked_before(stack: Stack) -> None:
    networks = stack.inspect("prediction")["NetworkSettings"]["Networks"]
    address = f"http://{networks[f'{stack.name}_serving']['IPAddress']}:3000"  # Docker's proxy would hide a refusal
    headers = {"Authorization": f"Bearer {stack.secrets['API_KEY']}"}
    callers = [Caller(address, headers, user) for user in stack.users[:CALLERS]]
    for each in callers:
        each.start()
    try:
        until(lambda: sum(each.statuses[200] for each in callers) > 20 * CALLERS, "there is load")
        begun = time.monotonic()
        stack.compose("stop", "prediction")  # after stop_grace_period it would be killed, and end with 137
        seconds, exit_code = time.monotonic() - begun, stack.inspect("prediction")["State"]["ExitCode"]
        for each in callers:
            each.join(60)
    finally:
        stack.compose("start", "prediction")
        stack.account["ready after a start of the service"] = f"{stack.wait_until_ready():.1f} s"

    statuses = sum((each.statuses for each in callers), Counter[int]())
    ends = Counter(each.end for each in callers)
    in_flight = [each for each in callers if each.last < begun]
    stack.account["stop under load"] = (
        f"{seconds:.1f} s, exit code {exit_code}; {statuses.total()} answers, {len(in_flight)} in flight lost; "
        f"then nobody was there any more: {dict(ends)}"
    )
    assert set(statuses) == {200}
    assert not in_flight
    assert exit_code in (0, 143)

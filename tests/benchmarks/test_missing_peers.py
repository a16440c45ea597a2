"""A peer that cannot be installed or does not start is reported with its reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asof.errors import ConfigurationError
from benchmarks.environments import making
from benchmarks.serving.effort import QUICK
from benchmarks.serving.measuring.rounds import closed_loops
from benchmarks.serving.setup.peer import Peer, Started
from benchmarks.serving.setup.world import World


@contextmanager
def no_start(_: World, __: Path) -> Iterator[Started]:
    raise ConfigurationError("There is no such server.")
    yield


def test_a_peer_that_does_not_start_is_left_out_with_its_reason() -> None:
    progress, world = list[str](), World(*[{}] * 9)  # type: ignore[arg-type]
    rows, left_out = closed_loops([Peer("peer", "A peer", "part", no_start)], world, QUICK, progress.append)
    assert (rows, left_out) == ([], {"A peer": "There is no such server."})
    assert progress[-1] == "LEFT OUT, A peer: There is no such server."


def test_an_environment_without_an_index_names_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_index: dict[str, Any] = {"PIP_INDEX_URL": "http://127.0.0.1:1", "PIP_EXTRA_INDEX_URL": "", "PIP_RETRIES": "0"}
    for name, value in {
        **no_index,
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_FIND_LINKS": "",
        "PIP_NO_CACHE_DIR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(making, "FOLDER", tmp_path)
    with pytest.raises(ConfigurationError, match="check the package index"):
        making.python_of("litserve")
    assert not (tmp_path / "litserve" / making.MARK).exists()

"""The search for secrets finds what it is to find: a search that cannot fail proves nothing."""

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.kits.machine.secret import command_lines, files, leaks

SECRET = 'pä/ss:8dTkz1_Qw-4LrYb0nE6vHg"@x'


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        "\n  ".join((SECRET[:9], SECRET[9:])),
        f"postgresql://user:{quote(SECRET, safe='')}@host/db",
        repr({"password": SECRET}),
        json.dumps({"key": SECRET}, ensure_ascii=False).replace('\\"', '"'),
        *(base64.b64encode(f"{name}:{SECRET}".encode()).decode() for name in ("a", "ab", "abc", "abcd")),
    ],
)
def test_a_secret_is_found_in_each_of_its_forms_and_not_printed(text: str) -> None:
    (leak,) = leaks({"the password": SECRET}, {"an answer": f"before {text} after", "another": "nothing"})
    assert leak == "the password is in an answer"


def test_another_secret_is_not_found() -> None:
    assert leaks({"the password": "hQ2v9-Zr_5kNt8wXyB3mLd0c"}, {"an answer": SECRET}) == []


def test_files_and_command_lines_are_searched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log").write_bytes(b"\xff" + b"sesame-sesame")
    assert leaks({"s": "sesame-sesame"}, files(tmp_path)) == [f"s is in {tmp_path / 'a' / 'log'}"]
    assert "python" in command_lines([os.getpid()])

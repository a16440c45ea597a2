"""The file of API keys: its format, its changes, and when a worker notices them."""

import hashlib
import hmac
import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asof.errors import ConfigurationError
from asof.serving.access import api_keys
from asof.serving.access.api_keys import find, new_key, parse
from asof.serving.access.key_editing import add_key, list_keys, remove_key
from asof.serving.access.key_file import REFRESH_SECONDS, KeyFile

HASH, OTHER = "ab" * 32, "cd" * 32


class Clock:
    """A clock that the test advances."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def names(keys: KeyFile) -> list[str]:
    return [key.name for key in keys.keys]


def test_a_line_is_a_name_scopes_a_hash_and_perhaps_an_end() -> None:
    crm, ops = parse(f"# who\n\ncrm predict {HASH}  # theirs\nops predict,admin {OTHER.upper()} 2027-01-31\n".encode())
    assert (crm.name, crm.scopes, crm.sha256, crm.expires, crm.ends) == ("crm", {"predict"}, HASH, None, None)
    assert (ops.scopes, ops.sha256) == ({"predict", "admin"}, OTHER)
    assert ops.ends == datetime(2027, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crm predict", "line 1 has 2 words"),
        (f"crm predict {HASH} 2027-01-31 x", "line 1 has 5 words"),
        (f"c/rm predict {HASH}", "line 1: a name"),
        (f"# who\ncrm root {HASH}", "line 2: scopes are admin, outcomes, predict, what-if"),
        (f"crm predict, {HASH}", "line 1: scopes"),
        (f"crm predict {HASH[:-1]}", "line 1: a SHA-256"),
        ("crm predict asof_MBg8JK_OEsMVWxI-NnNSd3sbvKGFdx5RNJxI2Bb-RDc", "line 1: a SHA-256"),
        (f"crm predict {HASH} soon", "line 1: a key expires"),
        (f"crm predict {HASH} 2027-02-30", "line 1: a key expires"),
        (f"crm predict {HASH}\ncrm admin {OTHER}", "a name occurs twice"),
        (f"crm predict {HASH}\nops admin {HASH}", "a SHA-256 occurs twice"),
        ("", "empty"),
        ("\n \n", "empty"),
    ],
)
def test_an_invalid_line_is_reported_by_number_and_not_quoted(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        parse(text.encode())
    assert "asof_" not in str(raised.value)


@pytest.mark.parametrize(
    ("expires", "ends"),
    [
        ("20270131", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2027-01-31T10:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ("2027-01-31T10:00+02:00", datetime(2027, 1, 31, 8, tzinfo=UTC)),
        ("9999-12-31", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_key_ends_after_a_day_or_at_a_moment(expires: str, ends: datetime) -> None:
    assert parse(f"crm predict {HASH} {expires}\n".encode())[0].ends == ends


@pytest.mark.parametrize("expires", ["2027-01-31 10:00", "2027-01-31#10:00", "2027-01-31\n10:00"])
def test_an_end_that_is_not_one_word_is_refused_before_it_breaks_the_file(tmp_path: Path, expires: str) -> None:
    add_key(tmp_path / "keys", "crm", ["predict"])
    with pytest.raises(ConfigurationError, match="a key expires on"):
        add_key(tmp_path / "keys", "ops", ["admin"], expires)
    assert [key.name for key in list_keys(tmp_path / "keys")] == ["crm"]


def test_an_empty_file_created_for_a_mount_can_get_its_first_key(tmp_path: Path) -> None:
    (tmp_path / "keys").touch(mode=0o604)
    add_key(tmp_path / "keys", "crm", ["predict"])
    assert [key.name for key in list_keys(tmp_path / "keys")] == ["crm"]
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o604


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="UTF-8"):
        parse(b"crm predict \xff")


def test_a_file_of_comments_has_no_keys() -> None:
    assert parse(b"# nobody\n") == ()


def test_a_key_has_256_random_bits_and_is_found_by_its_hash_alone() -> None:
    key = new_key()
    assert len(key) == len("asof_") + 43
    assert new_key() != key
    (mine,) = parse(f"mine predict {hashlib.sha256(key.encode()).hexdigest()}".encode())
    assert find(key.encode(), [mine]) is mine
    assert find(mine.sha256.encode(), [mine]) is None
    assert find(b"", [mine]) is None


@pytest.mark.parametrize("which", [0, 1, 2, None])
def test_every_hash_is_compared_in_constant_time(which: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [new_key() for _ in range(3)]
    keys = parse("".join(f"k{n} predict {api_keys.digest(t.encode())}\n" for n, t in enumerate(texts)).encode())
    compared = []

    def noted(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(api_keys, "hmac", type("Noted", (), {"compare_digest": staticmethod(noted)}))
    found = find(texts[which].encode() if which is not None else b"guessed", keys)
    assert found is (keys[which] if which is not None else None)
    assert compared == [(64, 64)] * 3


def test_a_key_is_valid_through_its_last_day_or_until_its_moment() -> None:
    day, moment = parse(f"day predict {HASH} 2027-01-31\nmoment predict {OTHER} 2027-01-31T12:00:00+02:00\n".encode())
    last = datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC)
    assert (day.has_expired(last), day.has_expired(last + timedelta(seconds=1))) == (False, True)
    noon = datetime(2027, 1, 31, 10, tzinfo=UTC)
    assert (moment.has_expired(noon - timedelta(seconds=1)), moment.has_expired(noon)) == (False, True)


def test_a_new_key_is_returned_and_not_stored(file: Path) -> None:
    added, key = add_key(file, "crm", ["predict", "admin"], "2027-01-31")
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o640
    assert list_keys(file) == (added,)
    assert find(key.encode(), list_keys(file)) == added
    assert [each.name for each in file.parent.iterdir()] == ["keys"]


def test_comments_mode_and_link_of_the_file_are_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "keys"
    real.write_text(f"# ours\ncrm   predict {HASH}   # Ann's\n")
    real.chmod(0o644)
    link.symlink_to(real)
    add_key(link, "ops", ["admin"])
    assert remove_key(link, "ops").name == "ops"
    assert real.read_text() == f"# ours\ncrm   predict {HASH}   # Ann's\n"
    assert (link.is_symlink(), real.stat().st_mode & 0o777) == (True, 0o644)


@pytest.mark.parametrize("change", ["add", "remove"])
def test_an_impossible_change_is_an_error_and_leaves_the_file(file: Path, change: str) -> None:
    file.write_text(f"crm predict {HASH}\n")
    with pytest.raises(ConfigurationError, match="There is a key crm" if change == "add" else "no key ops"):
        add_key(file, "crm", ["predict"]) if change == "add" else remove_key(file, "ops")
    assert file.read_text() == f"crm predict {HASH}\n"


def test_a_file_that_is_broken_is_not_written_over(file: Path) -> None:
    file.write_text("half a li")
    with pytest.raises(ConfigurationError, match="line 1"):
        add_key(file, "crm", ["predict"])
    assert file.read_text() == "half a li"


def test_keys_added_concurrently_are_all_kept(file: Path) -> None:
    threads = [threading.Thread(target=add_key, args=(file, f"k{n}", ["predict"])) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in list_keys(file)} == {f"k{n}" for n in range(20)}


@pytest.mark.parametrize("way", ["in place", "by rename", "by link"])
def test_a_change_is_noticed_within_a_second_however_it_is_made(tmp_path: Path, way: str) -> None:
    """Also one of the same length, in a file of the same number and time."""
    clock, file = Clock(), tmp_path / "keys"
    before, after = f"crm predict {HASH}\n", f"ops predict {HASH}\n"
    target = file
    if way == "by link":  # as Kubernetes mounts a secret
        target = tmp_path / "one"
        file.symlink_to(target)
    target.write_text(before)
    times = target.stat()
    keys = KeyFile(file, clock)
    if way == "in place":
        file.write_text(after)
    else:
        other = tmp_path / "other"
        (other if way == "by rename" else tmp_path / "two").write_text(after)
        if way == "by link":
            other.symlink_to(tmp_path / "two")
        other.replace(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert names(keys) == ["crm"]
    clock.now += REFRESH_SECONDS
    assert names(keys) == ["ops"]


def test_the_file_is_read_once_a_second(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asof.serving.access import key_file

    clock, looks = Clock(), []
    file.write_text(f"crm predict {HASH}\n")
    keys = KeyFile(file, clock)
    monkeypatch.setattr(key_file, "read", lambda path: looks.append(path) or path.read_bytes())
    for _ in range(100):
        clock.now += REFRESH_SECONDS / 20
        names(keys)
    assert len(looks) in (4, 5)


@pytest.mark.parametrize("harm", ["broken", "empty", "gone", "a folder"])
def test_a_file_that_becomes_invalid_keeps_the_previous_keys_and_warns_once(
    file: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    file.write_text(f"crm predict {HASH}\n")
    keys = KeyFile(file, clock)
    if harm in ("gone", "a folder"):
        file.unlink()
        if harm == "a folder":
            file.mkdir()
    else:
        file.write_text("" if harm == "empty" else "crm predict half-a-li")
    with caplog.at_level(logging.WARNING, "asof.serving"):
        for _ in range(5):
            clock.now += REFRESH_SECONDS
            assert names(keys) == ["crm"]
    assert len(caplog.records) == 1
    assert str(file) in caplog.text
    if harm == "a folder":
        file.rmdir()
    file.write_text("# nobody\n")
    clock.now += REFRESH_SECONDS
    assert names(keys) == []


@pytest.mark.parametrize("content", [None, "", "crm predict", "x" * (1024 * 1024 + 1)])
def test_a_file_that_cannot_be_used_at_the_start_is_a_configuration_error(file: Path, content: str | None) -> None:
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match="ASOF_API_KEYS") as raised:
        KeyFile(file)
    assert str(file) in str(raised.value)

"""Where a secret may show: its forms, and the texts that contain it. Returns names, never the secret itself."""

import base64
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil


def forms(secret: str) -> set[str]:
    """A secret as it is, quoted for an address, in JSON or a repr, and in base64, alone or within another text."""
    raw = secret.encode()
    found = {secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1], secret.replace("/", "\\/")}
    for before in range(
        3
    ):  # base64 of a text in which the secret begins at this place, less what its neighbours change
        coded = base64.b64encode(b"\0" * before + raw).decode()
        found.add(coded[4 if before else 0 : len(raw) * 4 // 3 // 4 * 4 - 4])
    return {form for form in found if len(form) >= 8}


def leaks(secrets: Mapping[str, str], places: Mapping[str, str]) -> list[str]:
    """One sentence for each secret in each text; both are given by name. The sentence does not hold the secret.

    A terminal breaks a long secret into lines: texts are searched without their white space, too.
    """
    return [
        f"{name} is in {place}"
        for name, secret in secrets.items()
        for place, text in places.items()
        if any(form in text or form in "".join(text.split()) for form in forms(secret))
    ]


def files(*folders: Path) -> dict[str, str]:
    """What lies in folders, by path, whatever its encoding."""
    found = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {str(file): file.read_bytes().decode("latin-1") for file in found}


def command_lines(pids: Iterable[int]) -> str:
    """The command lines of processes and their descendants, as `ps` shows them to every user."""
    commands = []
    for pid in pids:
        parent = psutil.Process(pid)
        for each in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # one that has ended or is a zombie
                commands.append(" ".join(each.cmdline()))
    return "\n".join(commands)

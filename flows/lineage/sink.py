"""Sends events to OpenLineage's API or appends them to a file; a sink that is away never fails a run."""

import json
import os
from pathlib import Path
from urllib.parse import unquote

from asof.settings import PROJECT, Settings
from flows.lineage.events import Event
from flows.runtime.progress import log

API = "/api/v1/lineage"
"""The path that OpenLineage's clients take where the URL has none."""
TIMEOUT = 5.0
"""Seconds: each run sends two events, and waits for them."""

_warned = set[str]()


def send(settings: Settings, event: Event) -> None:
    """Sends the event, if a sink is set; the first failure of this process is a warning."""
    if settings.openlineage_url is None:
        return
    url = settings.openlineage_url.get_secret_value()
    try:
        _deliver(settings, url, json.dumps(event.to_json()))
    except Exception as error:  # of any transport: lineage must not stop the work
        if url not in _warned:
            _warned.add(url)
            kind = f"{type(error).__name__} ({error.errno})" if isinstance(error, OSError) else type(error).__name__
            log.warning("No lineage event was kept: %s. Check ASOF_OPENLINEAGE_URL.", kind)


def _deliver(settings: Settings, url: str, text: str) -> None:
    if not url.lower().startswith(("http://", "https://")):
        _append(PROJECT / unquote(url.removeprefix("file://")), text)
        return
    import httpx

    target = httpx.URL(url)
    target = target if target.path.strip("/") else target.copy_with(path=API)
    key = settings.openlineage_key
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    httpx.post(target, content=text, headers=headers, timeout=TIMEOUT).raise_for_status()


def _append(file: Path, text: str) -> None:
    """One line by one write: several processes may append at the same time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)

"""A browser by the W3C WebDriver protocol (https://www.w3.org/TR/webdriver2/), which needs no package."""

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.kits.service.serving import free_port

ARGUMENTS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
]
TAB, ENTER = "\ue004", "\ue007"
NEEDED = "Debian's packages chromium and chromium-driver"


class Browser:
    """One window."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client, self._session = client, f"/session/{session}"

    def open(self, url: str) -> None:
        self._post("/url", {"url": url})

    def run(self, script: str) -> Any:
        """The value that a script returns."""
        return self._post("/execute/sync", {"script": script, "args": []})

    def type(self, text: str) -> None:
        """Presses the keys one after the other, wherever the focus is."""
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._post("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def show(self, width: int, *, scheme: str) -> None:
        """Sets the width of the page, as on a phone where it is small, and whether the system is light or dark."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._devtools("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._devtools("Emulation.setEmulatedMedia", {"media": "", "features": features})

    def on_paper(self) -> None:
        """Shows the page as it is printed, until `show`."""
        self._devtools("Emulation.setEmulatedMedia", {"media": "print"})

    def picture(self, file: Path) -> None:
        """Writes a PNG of the whole page."""
        shot = self._devtools("Page.captureScreenshot", {"captureBeyondViewport": True})
        file.write_bytes(base64.b64decode(shot["data"]))

    def errors(self) -> list[str]:
        """What the browser complained of since the last call."""
        return [each["message"] for each in self._post("/se/log", {"type": "browser"})]

    def _devtools(self, command: str, params: dict[str, Any]) -> Any:
        return self._post("/goog/cdp/execute", {"cmd": command, "params": params})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._client.post(f"{self._session}{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A new Chromium with a profile in the folder. Fails where it is not installed."""
    driver = shutil.which("chromedriver")
    assert driver, f"There is no chromedriver: install {NEEDED}."
    port = free_port()
    options = {"args": [*ARGUMENTS, f"--user-data-dir={folder}"]}
    wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    environment = {**os.environ, "HOME": str(folder)}
    with (
        subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, env=environment) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        try:
            _wait(client, process)
            answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            assert answer.status_code == 200, answer.text
            session = answer.json()["value"]["sessionId"]
            yield Browser(client, session)
            client.delete(f"/session/{session}")
        finally:
            process.terminate()


def _wait(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            if client.get("/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("chromedriver has ended")

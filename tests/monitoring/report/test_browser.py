"""The page in a real browser, from 360 to 1,440 pixels, light and dark; skipped, aloud, where there is no Chromium."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from monitoring.report.evidence import Evidence
from monitoring.report.page import page
from tests.kits.ledger.monitored import figures

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
QUIET = ("--disable-component-update", "--disable-sync", "--disable-quic", "--allow-file-access-from-files")
SCHEMES = {"dark": "--blink-settings=preferredColorScheme=0", "light": "--blink-settings=preferredColorScheme=1"}

FRAME = """<iframe id="f" src="churn.html" style="width:{width}px;height:900px;border:0"></iframe><pre id="found"></pre>
<script>
document.getElementById("f").onload = event => {{
  const inside = event.target.contentDocument, root = inside.documentElement
  const look = name => [...inside.querySelectorAll(name)]
  const shown = look("svg").filter(each => each.getBoundingClientRect().width > 0)
  const reachable = look("a[href], summary, [tabindex='0']")
  document.getElementById("found").textContent = JSON.stringify({{
    wide: root.scrollWidth, room: root.clientWidth, mode: inside.compatMode, drawings: shown.length,
    cut: shown.filter(each => each.getBoundingClientRect().right > root.clientWidth + 1).length,
    smallest: Math.min(...shown.flatMap(each => [...each.querySelectorAll("text")].map(word =>
      parseFloat(getComputedStyle(word).fontSize) * each.getBoundingClientRect().width / each.viewBox.baseVal.width))),
    paper: getComputedStyle(inside.body).backgroundColor, ink: getComputedStyle(inside.body).color,
    reachable: reachable.filter(each => each.tabIndex >= 0).length, all: reachable.length,
    asked: event.target.contentWindow.performance.getEntriesByType("resource").length,
  }})
}}
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    """The program, or a skip that says how to get it."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium: `apt-get install chromium`, and the page is looked at in a browser")
    return found


def look(chromium: str, folder: Path, width: int, scheme: str) -> dict[str, Any]:
    """What a browser finds of the page in a frame of this width."""
    evidence = Evidence("churn", "Churn", "auc", "AUC", datetime(2026, 1, 2, tzinfo=UTC), figures(24, 20))
    (folder / "churn.html").write_text(page(evidence), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width), encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    words: Sequence[str] = (
        *FLAGS,
        *QUIET,
        SCHEMES[scheme],
        profile,
        "--window-size=1600,1000",
        "--virtual-time-budget=9000",
    )
    done = subprocess.run(
        [chromium, *words, "--dump-dom", (folder / "frame.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(unescape(found[1]))
    return answer


def brightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (360, "light"), (1440, "dark"), (1440, "light")])
def test_the_page_fits_and_can_be_read_and_reached(chromium: str, tmp_path: Path, width: int, scheme: str) -> None:
    found = look(chromium, tmp_path, width, scheme)
    assert (found["mode"], found["wide"], found["cut"], found["asked"]) == ("CSS1Compat", found["room"], 0, 0)
    assert found["drawings"] > 30
    assert found["smallest"] >= 9
    assert found["reachable"] == found["all"] > 30
    paper, ink = brightness(found["paper"]), brightness(found["ink"])
    assert paper < 60 < 180 < ink if scheme == "dark" else ink < 60 < 180 < paper

"""Makes the pictures of the README from `result.json`, a real result: `python docs/pictures/make.py` (needs Chromium).

The terminal report is an SVG, the page a PNG; `page.sha256` names the page that the PNG shows, so that a test can tell
when it is old.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from rich.console import Console  # noqa: E402

from grader import result  # noqa: E402
from grader.reports import terminal  # noqa: E402
from grader.reports.html import html  # noqa: E402

RERUN = "make grade LAB={lab} TEST={test} SEED={seed}"
WIDTH, HEIGHT = 1000, 1900  # of the page, in CSS pixels


def terminal_picture() -> str:
    """The terminal report as SVG, in fonts that the reader has."""
    console = Console(
        record=True,
        width=100,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    terminal.render(result.read(HERE / "result.json"), console, rerun=RERUN)
    svg = console.export_svg(title="make grade LAB=gemm_cpu", unique_id="report")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def page() -> str:
    """The HTML report."""
    return html(result.read(HERE / "result.json"), rerun=RERUN)


def page_digest() -> str:
    """What `page.sha256` must hold."""
    return hashlib.sha256(page().encode()).hexdigest() + "\n"


def main() -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("needs a browser: apt-get install chromium")
    (HERE / "terminal.svg").write_text(terminal_picture(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(page(), encoding="utf-8")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--window-size={WIDTH},{HEIGHT}",
        ]
        command = [browser, *options, f"--screenshot={HERE / 'page.png'}", file.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    (HERE / "page.sha256").write_text(page_digest())


if __name__ == "__main__":
    main()

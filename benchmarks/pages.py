"""Opens the HTML report of every sample result in a real browser, in light and dark, wide and narrow:

    pip install playwright && python benchmarks/pages.py [--out folder]      (needs Chromium)

Checks what only a browser knows: nothing is requested or logged, nothing is wider than the window, every folded
part opens with the keyboard. Writes a screenshot of each to `--out`, for a person to look at.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Browser, sync_playwright

from grader.reports.html import html
from tests.sample_results import SITUATIONS

VIEWS = (("light", 1000), ("dark", 390))


def look(browser: Browser, file: Path, scheme: str, width: int, picture: Path) -> list[str]:
    """What is wrong with the page in this view."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on(
        "request", lambda request: request.url == file.as_uri() or wrong.append(f"requests {request.url}")
    )
    page.goto(file.as_uri())
    page.screenshot(path=str(picture), full_page=True)
    if page.evaluate("document.documentElement.scrollWidth") > width:
        wrong.append("is wider than the window")
    for number in range(page.locator("summary").count()):
        details = page.locator("summary").nth(number).locator("xpath=..")
        if not page.locator("summary").nth(number).is_visible():
            continue
        before = details.get_attribute("open")
        page.locator("summary").nth(number).press("Enter")
        if (details.get_attribute("open") is None) == (before is None):
            wrong.append(f"part {number} does not open with the keyboard")
    page.close()
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder for the screenshots")
    out = parser.parse_args().out or Path(tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    found = 0
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, make in SITUATIONS.items():
            file = out / f"{name}.html"
            file.write_text(html(make(), reveal=True), encoding="utf-8")
            for scheme, width in VIEWS:
                wrong = look(browser, file, scheme, width, out / f"{name}-{scheme}-{width}.png")
                found += len(wrong)
                print(f"{'✗' if wrong else '✓'} {name}, {scheme}, {width} px  {'; '.join(wrong)}".rstrip())
        print(f"Chromium {browser.version}; screenshots in {out}")
        browser.close()
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()

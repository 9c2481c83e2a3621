"""Opens the HTML report of every sample result, and of a class, in a real browser, light and dark, wide and narrow:

    pip install playwright && python benchmarks/pages.py [--out folder]      (needs Chromium)

Checks what only a browser knows: nothing is requested or logged, nothing is wider than the window, every folded
part opens with the keyboard, a class's table sorts and finds, and no script in a student's name runs. Writes a
screenshot of each to `--out`, for a person to look at.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Browser, Page, sync_playwright

from grader.reports.class_page import class_page
from grader.reports.html import html
from tests.reports.test_class_page import sample
from tests.sample_results import SITUATIONS

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"

FORCED = re.compile("console: .*(Content Security Policy|violates the following)")
"""What Chromium logs when it refuses the script that `use` forces in."""

VIEWS = (("light", 1000), ("dark", 390))


def look(
    browser: Browser,
    file: Path,
    scheme: str,
    width: int,
    picture: Path,
    more: Callable[[Page], list[str]] = lambda page: [],
) -> list[str]:
    """What is wrong with the page in this view."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    wrong: list[str] = []
    page.on("dialog", lambda dialog: (wrong.append(f"says {dialog.message!r}"), dialog.dismiss()))
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
    wrong += more(page)
    page.close()
    return wrong


def use(page: Page) -> list[str]:
    """What is wrong when somebody sorts the class, finds a student, and forces a script in."""
    wrong = []

    def column(number: int) -> list[str]:
        cells = page.locator(f"#class tbody tr:not([hidden]) td:nth-child({number})")
        return [cell.strip() for cell in cells.all_inner_texts()]

    heads = page.locator("#class thead button")
    total = heads.count() - 1  # the last but one column; the head of column n is number n - 1
    for presses, expected in ((1, ["40", "96.5", "–"]), (2, ["96.5", "40", "–"])):
        heads.nth(total - 1).press("Enter")
        if column(total) != expected:
            wrong.append(f"sorted {presses} times by the total it is {column(total)}")
    heads.nth(0).click()
    names = column(1)
    if names != sorted(names, key=str.casefold):
        wrong.append(f"sorted by name it is {names}")
    page.fill("#search", "BOB")
    if column(1) != ["bob"]:
        wrong.append(f"BOB finds {column(1)}")
    page.fill("#search", "")
    if len(column(1)) != 3:
        wrong.append("an empty search does not show all")
    ran = page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.forced = true";
            document.body.append(script);
            return window.forced === true;
        }"""
    )
    if ran:
        wrong.append("runs a script that is not its own")
    broken = page.locator("a[href^='#']").evaluate_all(
        "links => links.map(link => link.getAttribute('href')).filter(href => !document.querySelector(href))"
    )
    return wrong + [f"the link {href} leads nowhere" for href in broken]


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
        for name, text in (("class", "ada"), ("hostile-class", HOSTILE)):
            file = out / f"{name}.html"
            file.write_text(class_page(sample(text)), encoding="utf-8")
            for scheme, width in VIEWS:
                wrong = look(browser, file, scheme, width, out / f"{name}-{scheme}-{width}.png", use)
                wrong = [item for item in wrong if not (FORCED.search(item))]
                found += len(wrong)
                print(f"{'✗' if wrong else '✓'} {name}, {scheme}, {width} px  {'; '.join(wrong)}".rstrip())
        print(f"Chromium {browser.version}; screenshots in {out}")
        browser.close()
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()

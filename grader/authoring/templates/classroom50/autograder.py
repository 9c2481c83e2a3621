"""Run by Classroom 50 with the student's checkout as working folder; the practice grader lies beside this file.

Writes result.json and release-body.md. Exit status 0 whatever the grade; anything else means that nothing was graded.
This bundle can be read by everybody who knows its address, so it holds the public tests only.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

LAB, SOURCE = "@LAB@", "@SOURCE@"
BUNDLE = Path(os.environ.get("CLASSROOM50_BUNDLE_DIR") or Path(__file__).parent).resolve()


def grader(*words: str) -> None:
    """One command of the grader; raises CalledProcessError when it could not work."""
    subprocess.run(
        [str(BUNDLE / ".venv/bin/python"), "-m", "grader", *words], cwd=BUNDLE, check=True, stdout=sys.stderr
    )


def main() -> None:
    checkout = Path.cwd()
    places = [checkout / "starter" / LAB, checkout]
    folder = next((place for place in places if (place / SOURCE).exists()), checkout)
    subprocess.run(["bash", str(BUNDLE / "scripts/setup")], cwd=BUNDLE, check=True, stdout=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        document = f"{scratch}/result.json"
        grader(
            "grade", "--practice", "--no-history", "--submission", str(folder), "--json", document, "--", LAB
        )
        result, body = checkout / "result.json", checkout / "release-body.md"
        grader("report", document, "--classroom50", str(result), "--markdown", str(body))


if __name__ == "__main__":
    main()

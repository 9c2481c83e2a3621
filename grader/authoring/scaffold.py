"""`grader lab new`: a small lab that is complete and proves itself, to be changed into the lab that one wants."""

from __future__ import annotations

import re
from pathlib import Path

from grader.contract.model import ID

_TEMPLATES = Path(__file__).parent / "templates" / "lab"
_TEXT = re.compile(r'[^"\\\n]{1,80}')


class BadName(ValueError):
    """The lab cannot be called that, or is there already."""


def scaffold(name: str, title: str, root: Path) -> list[Path]:
    """Write labs/<name>, starter/<name> and solutions_hidden/<name> below `root`; the files, relative to it, sorted.

    Raises BadName for a name that is none, a title with quotes, or when one of the folders exists.
    """
    if not re.fullmatch(ID, name):
        raise BadName(f"{name!r} must be 1 to 40 small letters, digits and _, beginning with a letter")
    if not _TEXT.fullmatch(title):
        raise BadName("a title is one line of at most 80 characters, without quotes and backslashes")
    for parent in ("labs", "starter", "solutions_hidden"):
        if (root / parent / name).exists():
            raise BadName(f"{parent}/{name} exists already; choose another name, or remove it")
    written = []
    for template in sorted(path for path in _TEMPLATES.rglob("*") if path.is_file()):
        place = Path(str(template.relative_to(_TEMPLATES)).replace("@LAB@", name))
        text = template.read_text(encoding="utf-8").replace("@LAB@", name).replace("@TITLE@", title)
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text, encoding="utf-8")
        written.append(place)
    return sorted(written)

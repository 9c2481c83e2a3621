"""Archives that other systems unpack and run: Gradescope's zip, Classroom 50's tar.gz."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from grader.authoring.handout import course_files, handout
from grader.lab import Lab

_TEMPLATES = Path(__file__).parent / "templates"
_NOT_JUDGING = ("mutants", "cheats", "__pycache__")


def gradescope(lab: Lab, archive: Path, *, practice: bool) -> None:
    """Write the zip for Gradescope, which keeps it from students: hidden tests are in it, unless `practice`.

    Raises OSError when a file cannot be read or written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "source"
        if practice:
            handout([lab], folder)
        else:
            _official(lab, folder)
        options = "--practice" if practice else ""
        for template in sorted((_TEMPLATES / "gradescope").iterdir()):
            text = (
                template.read_text(encoding="utf-8")
                .replace("@LAB@", lab.id)
                .replace("@OPTIONS@ ", f"{options} ".lstrip())
            )
            (folder / template.name).write_text(text, encoding="utf-8")
            (folder / template.name).chmod(0o755)
        archive.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                target.write(path, path.relative_to(folder))


def classroom50(lab: Lab, archive: Path) -> None:
    """Write the tar.gz for Classroom 50: the handout and `autograder.py`. Anybody can read it: public tests only.

    Raises OSError when a file cannot be read or written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        handout([lab], folder)
        template = _TEMPLATES / "classroom50" / "autograder.py"
        text = (
            template.read_text(encoding="utf-8")
            .replace("@LAB@", lab.id)
            .replace("@SOURCE@", lab.sources[0].path)
        )
        (folder / template.name).write_text(text, encoding="utf-8")
        made = shutil.make_archive(str(Path(scratch) / "bundle"), "gztar", folder)
        archive.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, archive)


def _official(lab: Lab, folder: Path) -> None:
    """The course with this one lab: all that grades, nothing that proves the lab."""
    for source, target in course_files(lab.root):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, folder / target)
    left_out = shutil.ignore_patterns(*_NOT_JUDGING, "*.o", "*.so")
    shutil.copytree(lab.folder, folder / "labs" / lab.id, ignore=left_out)
    shutil.copytree(lab.starter, folder / "starter" / lab.id, ignore=left_out)

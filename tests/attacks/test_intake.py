"""What is handed in to a batch tries to reach what is not its own: it is refused or harmless, and the batch goes on.

One class of hostile archives and folders, each with an honest `gemm.c` or a link in its place, through `grader batch`.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import resource
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks import judge
from tests.attacks.catalogue import ROOT
from tests.conftest import needs

HONEST = (ROOT / "solutions_hidden" / "gemm_cpu" / "rungs" / "naive" / "gemm.c").read_bytes()
SECRET = "the words of somebody else"
IS_ROOT = os.geteuid() == 0
_MOST_MEMORY = 1 << 30


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as bundle:
        for member, content in members:
            member.size = member.size or len(content)
            bundle.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def file(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(byte ^ 0x55 for byte in data[at : at + 64]) + data[at + 64 :]


def archive(ending: str, data: Callable[[Path], bytes]) -> Callable[[Path, Path], None]:
    return lambda place, secret: void(place.with_name(place.name + ending).write_bytes(data(secret)))


def void(_: object) -> None:
    return None


def folder(fill: Callable[[Path, Path], object]) -> Callable[[Path, Path], None]:
    def make(place: Path, secret: Path) -> None:
        place.mkdir()
        fill(place, secret)

    return make


def honest(place: Path) -> None:
    (place / "gemm.c").write_bytes(HONEST)


def beside(name: str, content: str) -> Callable[[Path, Path], None]:
    """An honest submission with another file beside it."""

    def fill(place: Path, secret: Path) -> None:
        honest(place)
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content.replace("@SECRET@", str(secret)))

    return folder(fill)


def huge_name(size: int) -> bytes:
    """A tar whose first header announces a name of so many bytes, which are there: a few kB when compressed."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, size
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as stream:
        stream.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size >> 20):
            stream.write(b"a" * (1 << 20))
        stream.write(tarred((file("gemm.c"), HONEST)))
    return buffer.getvalue()


def claiming(kind: bytes, name: str, size: int) -> bytes:
    """A tar whose first member says that it holds so many bytes."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT) + tarred((file("gemm.c"), HONEST))


def linked_zip(target: str) -> bytes:
    link = zipfile.ZipInfo("gemm.c")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped((link, target.encode()))


SHADOW = 'open("@SECRET@", "w").write("owned")\n'
GRADED, REFUSED, UNKNOWN = "graded", "refused", "unknown"
HIDDEN = ROOT / "solutions_hidden"
TAR, ZIP, TAR_GZ, TAR_XZ = ".tar", ".zip", ".tar.gz", ".tar.xz"
GEMM = (file("gemm.c"), HONEST)


def link(kind: bytes) -> Callable[[Path, Path], None]:
    """A tar with something called gemm.c that is no file; a link leads to somebody else's."""
    return archive(TAR, lambda secret: tarred(special("gemm.c", kind, str(secret))))


def linked(name: str, target: Path) -> Callable[[Path, Path], None]:
    return folder(lambda place, _: (place / name).symlink_to(target))


def written(name: str, content: bytes) -> Callable[[Path, Path], None]:
    return folder(lambda place, _: (place / name).write_bytes(content))


HONEST_FOLDER = written("gemm.c", HONEST)
WAY_THEN_FILE = (special("way", tarfile.SYMTYPE, "/tmp"), (file("way/owned"), b"x"), GEMM)

GRADED_ALL_THE_SAME = {
    "I1_climbs_out_of_a_zip": archive(ZIP, lambda s: zipped((f"../../..{s}", b"owned"), ("gemm.c", HONEST))),
    "I1_absolute_name_in_a_tar": archive(TAR, lambda s: tarred((file(str(s)), b"owned"), GEMM)),
    "I1_backslashes": archive(ZIP, lambda s: zipped(("..\\..\\owned.c", b"x"), ("gemm.c", HONEST))),
    "I1_name_with_nul": archive(ZIP, lambda s: zipped(("a\0/../../owned", b"x"), ("gemm.c", HONEST))),
    "I1_same_name_twice": archive(TAR, lambda s: tarred((file("gemm.c"), b"#error\n"), GEMM)),
    "I2_tar_link_then_file": archive(TAR, lambda s: tarred(*WAY_THEN_FILE)),
    "=HYPERLINK(1)": HONEST_FOLDER,
    "<script>alert(1)<": HONEST_FOLDER,
    "a\x1b[2J\nb": HONEST_FOLDER,
    "I5_conftest": beside("conftest.py", SHADOW),
    "I5_numpy": beside("numpy.py", SHADOW),
    "I5_sitecustomize": beside("sitecustomize.py", SHADOW),
    "I5_pytest_ini": beside("pytest.ini", "[pytest]\naddopts = --version\n"),
    "I5_gitconfig": beside(".git/config", "[core]\n fsmonitor = touch @SECRET@.owned\n"),
}
REFUSED_WITH_REASONS = {
    "I2_link": folder(lambda place, secret: (place / "gemm.c").symlink_to(secret)),
    "I2_link_to_the_solution": linked("gemm.c", HIDDEN / "gemm_cpu" / "gemm.c"),
    "I2_hard_link": folder(lambda place, secret: (place / "gemm.c").hardlink_to(secret)),
    "I3_huge_source": written("gemm.c", b"\n" * (1 << 24)),
    "I4_bidi_override": written("gemm.c", "/* \u202e */\n".encode() + HONEST),
}
NO_SUBMISSION = {
    "I1_file_where_a_folder_is": archive(ZIP, lambda s: zipped(("a", b"x"), ("a/gemm.c", HONEST))),
    "I2_tar_link": link(tarfile.SYMTYPE),
    "I2_tar_hard_link": link(tarfile.LNKTYPE),
    "I2_tar_fifo": link(tarfile.FIFOTYPE),
    "I2_tar_device": link(tarfile.CHRTYPE),
    "I2_zip_link": archive(ZIP, lambda s: linked_zip(str(s))),
    "I2_fifo": folder(lambda place, _: os.mkfifo(place / "gemm.c")),
    "I2_folder_of_that_name": folder(lambda place, _: (place / "gemm.c").mkdir()),
    "I2_linked_folder": lambda place, _: place.symlink_to(HIDDEN / "gemm_cpu"),
    "I2_link_on_the_way": linked("gemm_cpu", HIDDEN / "gemm_cpu"),
    "I2_link_further_on_the_way": linked("starter", HIDDEN),
    "I3_zip_bomb": archive(ZIP, lambda s: zipped(("gemm.c", bytes(100 << 20)))),
    "I3_many_entries": archive(
        ZIP, lambda s: zipped(*((f"{n}.c", b"") for n in range(5000)), ("gemm.c", HONEST))
    ),
    "I3_says_more_than_it_holds": archive(TAR, lambda s: claiming(tarfile.REGTYPE, "gemm.c", 1 << 40)),
    "I3_size_of_2_to_the_80": archive(TAR, lambda s: claiming(b"Z", "strange", 1 << 80)),
    "I3_name_of_a_gigabyte": archive(TAR_GZ, lambda s: huge_name(2 << 30)),
    "I3_damaged_zip": archive(ZIP, lambda s: damaged(zipped(("gemm.c", HONEST)), 100)),
    "I3_damaged_tar_gz": archive(TAR_GZ, lambda s: damaged(gzip.compress(tarred(GEMM)), 100)),
    "I3_damaged_tar_xz": archive(TAR_XZ, lambda s: damaged(tarred(GEMM, mode="w:xz"), 100)),
    "I3_zip_in_name_only": archive(ZIP, lambda s: os.urandom(4096)),
    "I4_name_in_capitals": written("GEMM.C", HONEST),
}
FATES = {
    **dict.fromkeys(GRADED_ALL_THE_SAME, GRADED),
    **dict.fromkeys(REFUSED_WITH_REASONS, REFUSED),
    **dict.fromkeys(NO_SUBMISSION, UNKNOWN),
}


@dataclass(frozen=True)
class Batch:
    """What a batch of all of them left behind."""

    status: int
    said: str
    rows: dict[str, dict[str, str]]
    out: Path
    secret: Path
    before: dict[str, str]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """All of them, and an honest student, in one class."""
    around = tmp_path_factory.mktemp("intake")
    secret, class_, out = around / "secret.c", around / "class", around / "out"
    secret.write_text(SECRET)
    class_.mkdir()
    HONEST_FOLDER(class_ / "honest", secret)
    for name, make in {**GRADED_ALL_THE_SAME, **REFUSED_WITH_REASONS, **NO_SUBMISSION}.items():
        make(class_ / name, secret)
    before = judge.host()
    command = [
        sys.executable,
        "-m",
        "grader",
        "batch",
        str(class_),
        "--lab",
        "gemm_cpu",
        "--practice",
        "--no-duels",
    ]
    command += ["--out", str(out), "--root", str(ROOT), "--slots", "1", "--first-slot", str(judge.FIRST_SLOT)]
    done = subprocess.run(
        command,
        capture_output=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=_spare,
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    with (out / "gradebook.csv").open(newline="") as stream:
        rows = {row["student"]: row for row in csv.DictReader(stream)}
    return Batch(done.returncode, said, rows, out, secret, before)


def _spare() -> None:
    """An intake that takes a bomb's gigabytes into memory fails."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * _MOST_MEMORY, 4 * _MOST_MEMORY))


def row_of(batch: Batch, name: str) -> dict[str, str] | None:
    return (
        batch.rows.get(name)
        or batch.rows.get(f"'{name}")
        or batch.rows.get(name.replace("\x1b", "\\x1b").replace("\n", " "))
    )


@pytest.mark.parametrize("name", FATES)
@needs("gcc", "tier A")
def test_a_hostile_hand_in(batch: Batch, name: str) -> None:
    row, fate = row_of(batch, name), FATES[name]
    honest_score = batch.rows["honest"]["gemm_cpu score"]
    assert float(honest_score) > 0
    assert row is not None
    assert row["gemm_cpu score"] == (honest_score if fate == GRADED else "0.00")
    if fate == UNKNOWN:
        assert name in batch.said
        assert "could not be taken" in row["gemm_cpu note"]


@needs("gcc", "tier A")
def test_the_batch_went_on_and_nobody_was_touched(batch: Batch) -> None:
    assert batch.status == 0, batch.said[-800:]
    assert batch.secret.read_text() == SECRET
    assert sorted(path.name for path in batch.out.parent.iterdir()) == ["class", "out", "secret.c"]
    assert judge.host() == batch.before
    pages = [
        path.read_text(errors="replace")
        for path in batch.out.rglob("*")
        if path.suffix in (".html", ".md", ".json", ".csv", ".xml")
    ]
    assert not any(SECRET in page for page in pages)
    assert not any("<script>alert(1)" in page for page in pages if "<html" in page)
    assert "\x1b[2J" not in batch.said

"""What was handed in: every entry is recognised or listed, and no archive writes where it should not."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from grader.batch import archives
from grader.batch.intake import cohort
from grader.lab import load_lab

ROOT = Path(__file__).resolve().parent.parent.parent
GEMM, GEMV = load_lab("gemm_cpu", ROOT), load_lab("gemv_simd", ROOT)


@pytest.fixture
def class_(tmp_path):
    """`class_({"ada/gemm.c": b"…"})` is a folder with these files; `.cohort(*labs)` looks through it."""

    class Class:
        folder, work = tmp_path / "class", tmp_path / "work"

        def put(self, name: str, content: bytes = b"int x;\n") -> Path:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return path

        def cohort(self, *labs):
            return cohort(self.folder, labs or (GEMM,), self.work)

        def found(self, *labs):
            return {(item.student, item.lab): item.folder for item in self.cohort(*labs).found}

        def reasons(self, *labs):
            return {item.name: item.reason for item in self.cohort(*labs).unknown}

    Class.folder.mkdir()
    return Class()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "place", ["", "gemm_cpu/", "starter/gemm_cpu/", "gemm-ada-main/", "gemm-ada-main/starter/gemm_cpu/"]
)
def test_a_folder_for_each_student(class_, place):
    class_.put(f"ada/{place}gemm.c")
    assert class_.found() == {("ada", "gemm_cpu"): class_.folder / "ada" / place.rstrip("/")}


def test_one_folder_may_hold_several_labs(class_):
    class_.put("ada/starter/gemm_cpu/gemm.c")
    class_.put("ada/starter/gemv_simd/gemv.c")
    assert set(class_.found(GEMM, GEMV)) == {("ada", "gemm_cpu"), ("ada", "gemv_simd")}


def test_a_clone_is_a_folder(class_):
    class_.put("ada/.git/HEAD")
    class_.put("ada/gemm.c")
    assert set(class_.found()) == {("ada", "gemm_cpu")}


@pytest.mark.parametrize("top", ["", "hand-in/"])
def test_zip_and_tar(class_, top):
    class_.put("ada.zip", zipped(**{f"{top}gemm.c": b"int a;\n"}))
    with tarfile.open(class_.folder / "bob.tar.gz", "w:gz") as bundle:
        member = tarfile.TarInfo(f"{top}gemm.c")
        member.size = 7
        bundle.addfile(member, io.BytesIO(b"int b;\n"))
    found = class_.found()
    assert (found["ada", "gemm_cpu"] / "gemm.c").read_bytes() == b"int a;\n"
    assert (found["bob", "gemm_cpu"] / "gemm.c").read_bytes() == b"int b;\n"


def test_files_named_by_student_where_one_file_is_asked_for(class_):
    class_.put("ada.c", b"int a;\n")
    assert (class_.found()["ada", "gemm_cpu"] / "gemm.c").read_bytes() == b"int a;\n"
    assert "neither a folder nor an archive" in class_.reasons(GEMM, GEMV)["ada.c"]


def test_what_is_no_submission_is_listed_with_its_reason(class_):
    class_.put("ada/essay.txt")
    class_.put("notes.pdf")
    class_.put("broken.zip", b"PK no zip")
    (class_.folder / "link").symlink_to("/etc")
    os.mkfifo(class_.folder / "pipe")
    class_.put(".hidden/gemm.c")
    reasons = class_.reasons()
    assert set(reasons) == {"ada", "notes.pdf", "broken.zip", "link", "pipe"}
    assert "gemm.c" in reasons["ada"]
    assert "cannot be unpacked" in reasons["broken.zip"]


@pytest.mark.parametrize("link", ["ada/gemm_cpu", "ada/starter", "ada/work"])
def test_no_link_leads_to_a_submission(class_, tmp_path, link):
    """It could lead to the course's own solution."""
    (tmp_path / "elsewhere" / "gemm_cpu").mkdir(parents=True)
    for place in ("elsewhere", "elsewhere/gemm_cpu"):
        (tmp_path / place / "gemm.c").write_text("int x;\n")
    (class_.folder / "ada").mkdir()
    (class_.folder / link).symlink_to(tmp_path / "elsewhere")
    # Who handed in anything has a row; what is taken is the student's own folder, in which there is no gemm.c.
    assert class_.found() == {("ada", "gemm_cpu"): class_.folder / "ada"}
    assert not (class_.folder / "ada" / "gemm.c").exists()


@pytest.mark.parametrize(
    "name", ["../out.c", "/tmp/out-of-it.c", "a/../../out.c", "..\\out.c", "a/b/../../../out.c"]
)
def test_no_archive_writes_outside_of_its_folder(class_, name):
    class_.put("eve.zip", zipped(**{name: b"x", "gemm.c": b"int e;\n"}))
    with tarfile.open(class_.folder / "mal.tar", "w") as bundle:
        for inside in (name, "gemm.c"):
            member = tarfile.TarInfo(inside)
            member.size = 1
            bundle.addfile(member, io.BytesIO(b"x"))
    before = {path for path in class_.folder.parent.rglob("*") if path.is_file()}
    found = class_.found()
    new = {path for path in class_.folder.parent.rglob("*") if path.is_file()} - before
    assert new == {found[student, "gemm_cpu"] / "gemm.c" for student in ("eve", "mal")}
    assert not Path("/tmp/out-of-it.c").exists()


def test_links_and_devices_in_an_archive_are_passed_over(class_):
    with tarfile.open(class_.folder / "eve.tar", "w") as bundle:
        for name, kind, target in (
            ("gemm.c", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard", tarfile.LNKTYPE, "/etc/passwd"),
            ("device", tarfile.CHRTYPE, ""),
            ("pipe", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            bundle.addfile(member)
    link = zipfile.ZipInfo("gemm.c")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(class_.folder / "mal.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    found = class_.found()
    assert set(found) == {("eve", "gemm_cpu"), ("mal", "gemm_cpu")}  # each with a row, for want of a gemm.c
    assert [list(folder.rglob("*")) for folder in found.values()] == [[], []]


def test_a_bomb_is_refused_before_it_is_on_the_disk(class_, monkeypatch):
    monkeypatch.setattr(archives, "OF_STUDENT", archives.Most(100, 1 << 20))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gemm.c", bytes(8 << 20))
    class_.put("eve.zip", buffer.getvalue())
    assert "holds more than 1 MiB" in class_.reasons()["eve.zip"]
    assert not list(class_.work.rglob("gemm.c"))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"9"])
@pytest.mark.parametrize("packing", ["gz", "xz", "bz2"])
def test_a_header_is_not_believed_when_it_speaks_of_gigabytes(class_, monkeypatch, kind, packing):
    """The standard library would read, or skip, as much as it says, whatever comes of it when it is unpacked."""
    monkeypatch.setattr(archives, "OF_STUDENT", archives.Most(100, 1 << 20))
    member = tarfile.TarInfo("gemm.c")
    member.type, member.size = kind, 4 << 30
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{packing}") as bundle:
        assert bundle.fileobj is not None
        bundle.fileobj.write(member.tobuf() + bytes(8 << 20))
    class_.put("eve.tar", buffer.getvalue())
    assert "holds more than 2 MiB" in class_.reasons()["eve.tar"]


def test_a_damaged_archive_is_one_students_trouble(class_):
    """What is packed in it cannot be unpacked; zlib and lzma have errors of their own for that."""
    for name, method in (("eve.zip", zipfile.ZIP_DEFLATED), ("mal.zip", zipfile.ZIP_LZMA)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("gemm.c", bytes(range(256)) * 40)
        content = bytearray(buffer.getvalue())
        content[60:120] = b"\xff" * 60
        class_.put(name, bytes(content))
    class_.put("ada/gemm.c")
    assert class_.found().keys() == {("ada", "gemm_cpu"), ("eve", "gemm_cpu"), ("mal", "gemm_cpu")}
    assert all("cannot be unpacked" in reason for reason in class_.reasons().values())

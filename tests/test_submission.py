"""Facts about intake: what is taken, what is refused and in which words, and that nothing leaks or hangs."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.lab import Lab, load_lab
from grader.submission import Refused, Submission, take

SECRET = b"the hidden tests of this lab"
SOURCE = b"int gemm(void) { return 0; }\n"

CONTRACT = """\
schema: 1
id: lab
title: A lab
summary: A lab.
sources: [{sources}]
interface: {{header: gemm.h}}
points: {{correctness: 100}}
"""


def make_lab(root: Path, *paths: str, max_bytes: int = 1000) -> Lab:
    (root / "labs/lab").mkdir(parents=True)
    (root / "starter/lab").mkdir(parents=True)
    (root / "starter/lab/gemm.h").touch()
    sources = ", ".join(f"{{path: {path}, max_bytes: {max_bytes}}}" for path in paths)
    (root / "labs/lab/lab.yaml").write_text(CONTRACT.format(sources=sources))
    return load_lab("lab", root)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return make_lab(tmp_path_factory.mktemp("course"), "gemm.c")


@pytest.fixture(scope="module")
def deep_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return make_lab(tmp_path_factory.mktemp("deep"), "gemm.c", "src/util.c", "src/in/x.h")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty submission, with a secret beside it."""
    (tmp_path / "secret.c").write_bytes(SECRET)
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "util.c").write_bytes(SECRET)
    (tmp_path / "alice").mkdir()
    return tmp_path / "alice"


def refusal(folder: Path, lab: Lab) -> str:
    """The text of the refusal; one line per problem, printable."""
    with pytest.raises(Refused) as caught:
        take(folder, lab)
    assert all(problem.isprintable() for problem in caught.value.problems)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return str(caught.value)


# --- What is taken --------------------------------------------------------------------------------


def test_the_named_file_is_taken(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    submission = take(folder, lab)
    assert submission.name == "alice"
    assert submission.files == {"gemm.c": SOURCE}
    assert submission.notes == []
    assert len(submission.digest) == 64


def test_files_in_folders_are_taken_by_their_path(folder: Path, deep_lab: Lab) -> None:
    (folder / "src/in").mkdir(parents=True)
    for name in ("gemm.c", "src/util.c", "src/in/x.h"):
        (folder / name).write_text(f"// {name}\n")
    assert take(folder, deep_lab).files == {
        name: f"// {name}\n".encode() for name in ("gemm.c", "src/util.c", "src/in/x.h")
    }


def test_an_empty_file_is_taken(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").touch()
    assert take(folder, lab).files == {"gemm.c": b""}


def test_a_file_of_exactly_the_limit_is_taken(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(b"x" * 1000)
    assert len(take(folder, lab).files["gemm.c"]) == 1000


def test_comments_in_any_language_are_taken(folder: Path, lab: Lab) -> None:
    text = "// 矩阵乘法, Größe, умножение, ضرب, 🙂\tend\n"
    (folder / "gemm.c").write_text(text, encoding="utf-8")
    assert take(folder, lab).files["gemm.c"].decode() == text


def test_what_the_course_handed_out_is_no_surprise(folder: Path) -> None:
    lab = load_lab("mini_shell", Path(__file__).resolve().parent.parent)
    for path in lab.starter.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert (folder / "main.c").exists()
    assert take(folder, lab).notes == []


def test_other_files_are_left_out_and_named(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    for name in ("conftest.py", "math.h", "a\x1b[2J"):
        (folder / name).write_text("x")
    (folder / "build").mkdir()
    submission = take(folder, lab)
    assert list(submission.files) == ["gemm.c"]
    assert submission.notes == [r"Only gemm.c is taken; left out: a\x1b[2J, build/, conftest.py, math.h."]


def test_what_one_expects_beside_the_source_needs_no_note(folder: Path, lab: Lab) -> None:
    for name in ("gemm.c", "gemm.h", "Makefile", ".gitignore"):
        (folder / name).write_bytes(SOURCE)
    assert take(folder, lab).notes == []


def test_a_long_list_of_other_files_is_cut(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    for index in range(50):
        (folder / f"f{index:02}").touch()
    (note,) = take(folder, lab).notes
    assert note.endswith("f18, f19 and 30 more.")


def test_windows_line_ends_become_line_feeds_with_a_note(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(b"int a;\r\nint b;\r\n")
    submission = take(folder, lab)
    assert submission.files["gemm.c"] == b"int a;\nint b;\n"
    assert submission.notes == ["gemm.c: Windows line ends (CRLF) were changed to LF."]


def test_a_byte_order_mark_at_the_start_is_removed_with_a_note(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(b"\xef\xbb\xbfint a;\n")
    submission = take(folder, lab)
    assert submission.files["gemm.c"] == b"int a;\n"
    assert submission.notes == ["gemm.c: the byte order mark at its start was removed."]


def test_the_digest_depends_on_the_files_alone(tmp_path: Path, lab: Lab) -> None:
    digests = []
    for name, data in (
        ("a", SOURCE),
        ("b", SOURCE),
        ("c", SOURCE.replace(b"\n", b"\r\n")),
        ("d", SOURCE + b" "),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gemm.c").write_bytes(data)
        (tmp_path / name / f"other_{name}").touch()
        digests.append(take(tmp_path / name, lab).digest)
    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("张三", "张三"), ("a b", "a b"), ("x\x1b[2Jy", r"x\x1b[2Jy"), ("\u202eevil", r"\u202eevil")],
)
def test_the_name_is_the_folders_name_made_visible(tmp_path: Path, lab: Lab, name: str, shown: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "gemm.c").write_bytes(SOURCE)
    assert take(tmp_path / name, lab).name == shown


@pytest.mark.parametrize(("spelling", "name"), [(".", "alice"), ("../alice", "alice"), ("inner/..", "alice")])
def test_the_name_is_known_for_relative_folders(
    folder: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch, spelling: str, name: str
) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    (folder / "inner").mkdir()
    monkeypatch.chdir(folder)
    assert take(Path(spelling), lab).name == name


def test_the_folder_itself_may_be_reached_through_a_link(tmp_path: Path, folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    (tmp_path / "shortcut").symlink_to(folder)
    assert take(tmp_path / "shortcut", lab).files["gemm.c"] == SOURCE


def test_a_submission_and_a_refusal_survive_a_worker_process(folder: Path, lab: Lab) -> None:
    with pytest.raises(Refused) as caught:
        take(folder, lab)
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
    (folder / "gemm.c").write_bytes(SOURCE)
    submission = take(folder, lab)
    assert pickle.loads(pickle.dumps(submission)) == submission


# --- What is refused: kinds of files --------------------------------------------------------------


def a_link(path: Path) -> None:
    path.symlink_to("../secret.c")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_link_to_proc(path: Path) -> None:
    path.symlink_to("/proc/self/environ")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    parent = os.open(path.parent, os.O_RDONLY)  # the path itself may be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{parent}/{path.name}")
    finally:
        os.close(parent)


def a_hard_link(path: Path) -> None:
    os.link(path.parent.parent / "secret.c", path)


def a_huge_sparse_file(path: Path) -> None:
    path.touch()
    os.truncate(path, 10**12)


KINDS: dict[Callable[[Path], None], str] = {
    a_link: "gemm.c is a symbolic link; hand in the file itself.",
    a_dangling_link: "gemm.c is a symbolic link; hand in the file itself.",
    a_link_to_itself: "gemm.c is a symbolic link; hand in the file itself.",
    a_link_to_proc: "gemm.c is a symbolic link; hand in the file itself.",
    a_folder: "gemm.c is a folder; hand in the file itself.",
    a_fifo: "gemm.c is a named pipe (FIFO); hand in the file itself.",
    a_socket: "gemm.c is a socket; hand in the file itself.",
    a_hard_link: "gemm.c is a hard link (2 names for one file); hand in a copy "
    "(cp gemm.c copy && mv copy gemm.c).",
    a_huge_sparse_file: "gemm.c is too big: 1,000,000,000,000 bytes, and the limit is 1,000. "
    "Hand in the source as you wrote it, without tables or generated code.",
}


@pytest.mark.parametrize("make", KINDS)
def test_anything_but_a_plain_file_is_refused(folder: Path, lab: Lab, make: Callable[[Path], None]) -> None:
    make(folder / "gemm.c")
    assert refusal(folder, lab) == KINDS[make]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a device")
def test_a_device_is_refused(folder: Path, lab: Lab) -> None:
    os.mknod(folder / "gemm.c", 0o600 | 0o020000, os.makedev(1, 5))
    assert refusal(folder, lab) == "gemm.c is a device; hand in the file itself."


def test_a_file_one_byte_too_big_is_refused(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(b"x" * 1001)
    assert "gemm.c is too big: 1,001 bytes, and the limit is 1,000." in refusal(folder, lab)


@pytest.mark.parametrize("link", ["src", "src/in"])
def test_links_on_the_way_are_refused(tmp_path: Path, folder: Path, deep_lab: Lab, link: str) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    (tmp_path / "hidden/in").mkdir()
    (tmp_path / "hidden/in/x.h").write_bytes(SECRET)
    if link == "src/in":
        (folder / "src").mkdir()
        (folder / "src/util.c").write_bytes(SOURCE)
    (folder / link).symlink_to(tmp_path / "hidden" / ("in" if link == "src/in" else ""))
    assert f"{link} is a symbolic link, but must be a folder that holds src/" in refusal(folder, deep_lab)


def test_a_file_in_the_place_of_a_folder_is_refused(folder: Path, deep_lab: Lab) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    (folder / "src").touch()
    assert "src is a file, but must be a folder that holds src/util.c." in refusal(folder, deep_lab)


def test_a_link_that_replaces_the_file_at_the_last_moment_is_refused(
    folder: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    real_open = os.open

    def swapping_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == "gemm.c":
            (folder / "gemm.c").unlink()
            (folder / "gemm.c").symlink_to("../secret.c")
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", swapping_open)
    assert "gemm.c cannot be opened" in refusal(folder, lab)


def test_a_fifo_that_replaces_the_file_at_the_last_moment_does_not_hang(
    folder: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    real_open = os.open

    def swapping_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == "gemm.c":
            (folder / "gemm.c").unlink()
            os.mkfifo(folder / "gemm.c")
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", swapping_open)
    assert "gemm.c is a named pipe (FIFO)" in refusal(folder, lab)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_read_is_told(
    folder: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (folder / "gemm.c").write_bytes(SOURCE)
    real_open = os.open
    denied = "gemm.c" if what == "file" else folder

    def denying_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == denied:
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", denying_open)  # a real mode 000 does not stop root
    assert "cannot be read; check its permissions (chmod u+r" in refusal(folder, lab)


# --- What is refused: text ------------------------------------------------------------------------

TEXTS = {
    "NUL": (b"int a;\nint \0b;\n", "gemm.c:2:5: U+0000 NUL: invisible"),
    "escape": (b"// \x1b[2J\n", "gemm.c:1:4: U+001B ESCAPE"),
    "form feed": (b"int a;\n\x0c\n", "gemm.c:2:1: U+000C FORM FEED"),
    "carriage return": (b"int a;\rint b;\n", "gemm.c:1:7: U+000D CARRIAGE RETURN"),
    "C1": ("// \x9b2J\n".encode(), "gemm.c:1:4: U+009B a control character"),
    "bidi": (
        "/*\u202e } if \u2066*/\n".encode(),
        "gemm.c:1:3: U+202E RIGHT-TO-LEFT OVERRIDE; gemm.c:1:10: U+2066",
    ),
    "zero width": ("int a\u200bb;\n".encode(), "gemm.c:1:6: U+200B ZERO WIDTH SPACE"),
    "invisible letter": ("int \u3164;\n".encode(), "gemm.c:1:5: U+3164 HANGUL FILLER"),
    "line separator": ("// a\u2028b\n".encode(), "gemm.c:1:5: U+2028 LINE SEPARATOR"),
    "mark in the middle": ("int a;\n\ufeff\n".encode(), "gemm.c:2:1: U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    "two marks": (b"\xef\xbb\xbf\xef\xbb\xbfint a;\n", "gemm.c:1:1: U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    "after wide letters": ("// 矩阵\x07\n".encode(), "gemm.c:1:6: U+0007 a control character"),
    "surrogate": (b"//\xed\xa0\x80\n", "gemm.c:1:5: U+0080 a control character"),
    "overlong": (b"\n//\xc0\x80\n", "gemm.c:2:4: U+0080 a control character"),
    "UTF-16": ("int a;\n".encode("utf-16"), "gemm.c is UTF-16 text; save it as UTF-8."),
    "an object file": (b"\x7fELF\x02\x01\x01\0\0\0\0", "gemm.c:1:1: U+007F a control character"),
    "very many": (b"\x01" * 900, "gemm.c:1:5: U+0001 a control character (and 895 more): invisible"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_that_is_not_what_it_looks_like_is_refused_with_its_place(
    folder: Path, lab: Lab, kind: str
) -> None:
    data, expected = TEXTS[kind]
    (folder / "gemm.c").write_bytes(data)
    assert expected in refusal(folder, lab)


def test_an_umlaut_of_an_old_editor_is_taken_with_a_note(folder: Path, lab: Lab) -> None:
    (folder / "gemm.c").write_bytes("\n// Gr\xf6\xdfe\n".encode("latin-1"))
    taken = take(folder, lab)
    assert taken.files["gemm.c"] == "\n// Gr\xf6\xdfe\n".encode()
    assert "gemm.c:2: not UTF-8 text, so it was read as Latin-1; save it as UTF-8." in taken.notes


def test_a_name_in_capitals_is_to_be_renamed(folder: Path, lab: Lab) -> None:
    assert "Rename GEMM.C to gemm.c." in refusal(with_files(folder, "GEMM.C"), lab)


@given(text=st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_taken_text_holds_only_what_one_sees(text_folder: Path, lab: Lab, text: str) -> None:
    (text_folder / "gemm.c").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        taken = take(text_folder, lab).files["gemm.c"].decode()
    except Refused:
        return
    assert all(
        character in "\t\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
        for character in taken
    )
    assert taken == text.removeprefix("\ufeff").replace("\r\n", "\n")


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text")


# --- What is refused: the file is not there -------------------------------------------------------


def with_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(SOURCE)
    return folder


def test_an_empty_folder_says_what_is_missing(folder: Path, lab: Lab) -> None:
    assert refusal(folder, lab) == "gemm.c is missing; the folder looks empty."


def test_a_missing_file_names_what_the_folder_holds(folder: Path, lab: Lab) -> None:
    with_files(folder, "gemm.cpp", "readme.txt", "old/x")
    assert refusal(folder, lab) == (
        "gemm.c is missing; the folder holds: gemm.cpp, old/, readme.txt. Did you mean gemm.cpp?"
    )


@pytest.mark.parametrize(
    "name", ["Gemm.c", "GEMM.C", "gemm.c.txt", "gemm.cu", "gem.c", "gemm_.c", "\uff47emm.c"]
)
def test_a_likely_name_is_suggested(folder: Path, lab: Lab, name: str) -> None:
    said = refusal(with_files(folder, name, "zz"), lab)
    assert (f"Rename {name} to gemm.c." if name.lower() == "gemm.c" else f"Did you mean {name}?") in said


def test_an_unlikely_name_is_not_suggested(folder: Path, lab: Lab) -> None:
    assert "Did you mean" not in refusal(with_files(folder, "notes.md", "main.py"), lab)


def test_a_letter_that_only_looks_right_is_named(folder: Path, lab: Lab) -> None:
    text = refusal(with_files(folder, "g\u0435mm.c"), lab)
    assert "That name holds U+0435 CYRILLIC SMALL LETTER IE; rename it with plain letters." in text


def test_a_name_with_an_invisible_letter_is_shown(folder: Path, lab: Lab) -> None:
    text = refusal(with_files(folder, "gemm\u200b.c"), lab)
    assert r"the folder holds: gemm\u200b.c. Did you mean gemm\u200b.c? That name holds U+200B" in text


def test_a_name_that_is_not_utf8_is_shown(folder: Path, lab: Lab) -> None:
    with_files(folder, os.fsdecode(b"gemm\xff.c"))
    assert r"Did you mean gemm\xff.c? That name holds the byte 0xFF" in refusal(folder, lab)


def test_names_with_control_characters_are_shown_as_escapes(folder: Path, lab: Lab) -> None:
    assert r"the folder holds: a\x0ab, c\x1b[2J." in refusal(with_files(folder, "a\nb", "c\x1b[2J"), lab)


def test_long_names_and_long_lists_are_cut(folder: Path, lab: Lab) -> None:
    text = refusal(with_files(folder, *(f"{index:03}" + "x" * 200 for index in range(100))), lab)
    assert text.endswith("xxx... and 80 more.")
    assert len(text) < 1500


def test_a_folder_in_the_folder_is_pointed_out(folder: Path, lab: Lab) -> None:
    text = refusal(with_files(folder, "lab/gemm.c", "lab/gemm.h"), lab)
    assert text.endswith("It lies in lab/: hand in that folder, or move its files up.")


def test_every_problem_is_told_at_once(folder: Path, deep_lab: Lab) -> None:
    with_files(folder, "src/util.c")
    (folder / "src/util.c").write_bytes(b"\0")
    (folder / "src/in").symlink_to("/")
    lines = refusal(folder, deep_lab).split("\n")
    assert [line.split(" ")[0] for line in lines] == ["gemm.c", "src/util.c:1:1:", "src/in"]


# --- What is refused: the folder ------------------------------------------------------------------


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path, lab: Lab) -> None:
    text = refusal(tmp_path / "bob", lab)
    assert text == f"There is no folder {tmp_path}/bob. Give the folder that holds gemm.c."


def test_the_file_itself_instead_of_its_folder_is_told(folder: Path, lab: Lab) -> None:
    with_files(folder, "gemm.c")
    text = refusal(folder / "gemm.c", lab)
    assert text == f"{folder}/gemm.c is the file itself; give the folder that it lies in: {folder}"


def test_another_file_instead_of_a_folder_is_told(folder: Path, lab: Lab) -> None:
    with_files(folder, "work.zip")
    assert "is not a folder. Put gemm.c into a folder, and give that folder." in refusal(
        folder / "work.zip", lab
    )


def test_a_fifo_instead_of_a_folder_does_not_hang(folder: Path, lab: Lab) -> None:
    os.mkfifo(folder / "pipe")
    assert "is not a folder" in refusal(folder / "pipe", lab)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "\ud800", "\x1b[2J", "\udcff"])
def test_an_impossible_folder_name_is_told(folder: Path, lab: Lab, name: str) -> None:
    assert "folder" in refusal(folder / name, lab)


# --- Hostile folders ------------------------------------------------------------------------------

WANTED = ["gemm.c", "src", "src/util.c", "src/in", "src/in/x.h"]
names = st.sampled_from(WANTED) | st.binary(min_size=1, max_size=12).map(
    lambda name: os.fsdecode(name.replace(b"\0", b"_").replace(b"/", b"_").replace(b".", b"_"))
)
contents = (
    st.binary(max_size=40)
    | st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
    | st.sampled_from([SOURCE, b"x" * 1001, b"\xef\xbb\xbf", b"\r\n" * 5])
)
targets = st.sampled_from(
    [
        "../secret.c",
        "../hidden",
        "/etc/passwd",
        "/dev/zero",
        "/proc/self/environ",
        ".",
        "..",
        "/",
        "gemm.c",
        "src",
    ]
)
entries = st.one_of(
    st.tuples(st.just("file"), names, contents),
    st.tuples(st.just("link"), names, targets),
    st.tuples(st.just("fifo"), names, st.none()),
    st.tuples(st.just("folder"), names, st.none()),
    st.tuples(st.just("hard link"), names, st.none()),
    st.tuples(st.just("huge"), names, st.none()),
)


def make_entry(folder: Path, kind: str, name: str, detail: Any) -> None:
    """Make one thing in the folder; what cannot be made there is left out."""
    path = folder / name
    try:
        path.parent.mkdir(exist_ok=True)
        if kind == "file":
            path.write_bytes(detail) if not path.exists() and not path.is_symlink() else None
        elif kind == "link":
            path.symlink_to(detail)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "hard link":
            os.link(folder.parent / "secret.c", path)
        elif not path.exists() and not path.is_symlink():
            path.touch()
            os.truncate(path, 10**11)
    except OSError:
        pass


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    (root / "secret.c").write_bytes(SECRET)
    (root / "hidden" / "in").mkdir(parents=True)
    for name in ("util.c", "x.h", "in/x.h", "gemm.c"):
        (root / "hidden" / name).write_bytes(SECRET)
    return root


@pytest.fixture
def watchdog() -> Iterator[None]:
    """Fail loudly instead of hanging: a FIFO that is read would wait for ever."""
    timer = threading.Timer(120, lambda: os._exit(70))
    timer.start()
    yield
    timer.cancel()


@pytest.mark.usefixtures("watchdog")
@given(things=st.lists(entries, max_size=8))
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_hostile_folder_is_taken_or_refused_and_nothing_else(
    playground: Path, deep_lab: Lab, things: list[tuple[str, str, Any]]
) -> None:
    folder = playground / "mallory"
    folder.mkdir()
    try:
        for kind, name, detail in things:
            make_entry(folder, kind, name, detail)
        before = open_descriptors()
        outcome = attempt(folder, deep_lab)
        assert open_descriptors() == before
    finally:
        shutil.rmtree(folder)
    if isinstance(outcome, Submission):
        assert set(outcome.files) == {source.path for source in deep_lab.sources}
        assert all(SECRET not in data and len(data) <= 1000 for data in outcome.files.values())
        assert all(note.isprintable() for note in outcome.notes)
    else:
        assert outcome.problems
        assert all(problem.isprintable() and len(problem) < 3000 for problem in outcome.problems)


def attempt(folder: Path, lab: Lab) -> Submission | Refused:
    try:
        return take(folder, lab)
    except Refused as refused:
        return refused


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.usefixtures("watchdog")
def test_a_file_that_turns_into_a_link_and_back_never_leaks(playground: Path, lab: Lab) -> None:
    folder = playground / "racer"
    folder.mkdir()
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            for make in (a_link, lambda path: path.write_bytes(SOURCE), os.mkfifo):
                make(folder / "new")
                (folder / "new").replace(folder / "gemm.c")

    with_files(folder, "gemm.c")
    racer = threading.Thread(target=flip)
    racer.start()
    try:
        outcomes = [attempt(folder, lab) for _ in range(300)]
    finally:
        stop.set()
        racer.join()
    taken = [outcome.files["gemm.c"] for outcome in outcomes if isinstance(outcome, Submission)]
    assert set(taken) <= {SOURCE}

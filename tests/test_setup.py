"""Set-up needs nothing: scripts/setup makes what is missing, says what it cannot, and never asks or hangs.

The script runs for real, on a PATH of its own: apt-get, sudo and interpreters are stand-ins. So does make.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import needs

ROOT = Path(__file__).parents[1]
USED_BY_THE_SCRIPT = (
    *(
        "bash",
        "cat",
        "cut",
        "dirname",
        "env",
        "flock",
        "grep",
        "head",
        "ln",
        "mktemp",
        "rm",
        "sh",
        "sha256sum",
    ),
    *("sleep", "tail", "timeout", "touch", "uname"),
)
WORKING_VENV = '#!/bin/sh\nif [ "$1" = -m ]; then echo "$@" >> pip.log; fi\n'
INSTALL = 'ln -s sh "${0%/*}/the-tool"'
SUDO = 'test "$1" = -n && shift && exec "$@"'


class Checkout:
    """A fresh checkout on a machine that has nothing but what a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "the checkout"
        self.bin = folder / "bin"
        (self.folder / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(ROOT / "scripts" / "setup", self.folder / "scripts" / "setup")
        self.write("requirements.txt", "numpy==2.2.6\n")
        self.write("packages.apt", "# a comment\nthe-tool  # the moon is not judged\n")
        self.prefix: list[str] = []
        self.borrow(*USED_BY_THE_SCRIPT)

    def borrow(self, *names: str) -> None:
        """Programs of this machine, put on the PATH."""
        for name in names:
            (self.bin / name).symlink_to(str(shutil.which(name)))

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def tool(self, name: str, script: str = "exit 0") -> None:
        """A program on the PATH."""
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def venv(self, script: str = WORKING_VENV) -> None:
        """A .venv that works already, so that only its packages are missing."""
        self.write(".venv/bin/python", script)

    def command(self) -> list[str]:
        return [*self.prefix, "bash", "scripts/setup"]

    def environment(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def setup(self, **environment: str) -> tuple[int, str]:
        """Exit status and everything printed; a hang fails."""
        answer = subprocess.run(
            self.command(),
            cwd=self.folder,
            env={**self.environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return answer.returncode, answer.stdout


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


# --- .venv --------------------------------------------------------------------------------------------------


def test_it_makes_a_venv_from_nothing_and_then_has_nothing_to_do(checkout):
    """The only test that makes a real one; without packages, since that needs the network."""
    checkout.write("requirements.txt", "")
    checkout.write("packages.apt", "")
    (checkout.bin / "python3").symlink_to(sys.executable)
    status, text = checkout.setup()
    assert (status, "setup: done in" in text) == (0, True), text
    made = subprocess.run(
        [checkout.folder / ".venv/bin/python", "-c", "import sys; print(sys.prefix)"], capture_output=True
    )
    assert made.stdout.decode().strip() == str(checkout.folder / ".venv")
    assert checkout.setup() == (0, "")


@pytest.mark.parametrize("changed", ["requirements.txt", "packages.apt", "scripts/setup"])
def test_it_runs_again_when_what_it_reads_changes(checkout, changed):
    checkout.venv()
    checkout.tool("the-tool")
    assert "done" in checkout.setup()[1]
    with (checkout.folder / changed).open("a") as file:
        file.write("# changed\n")
    assert "done" in checkout.setup()[1]
    assert checkout.setup() == (0, "")


def test_a_broken_venv_is_made_again(checkout):
    """As after the interpreter that it was made with is gone."""
    checkout.tool("the-tool")
    checkout.venv()
    checkout.setup()
    checkout.venv("#!/bin/sh\nexit 127\n")
    status, text = checkout.setup()
    assert status == 1
    assert "no Python 3.10 or newer" in text


def test_pip_installs_just_what_is_pinned_and_asks_nothing(checkout):
    checkout.venv()
    checkout.tool("the-tool")
    checkout.setup()
    asked = (checkout.folder / "pip.log").read_text()
    for option in ("--no-deps", "--only-binary :all:", "--no-input", "-r requirements.txt"):
        assert option in asked


def test_without_a_network_it_says_so_and_the_next_run_goes_on(checkout):
    checkout.tool("the-tool")
    checkout.venv('#!/bin/sh\ntest "$1" != -m || { echo "ERROR: no route to host" >&2; exit 1; }\n')
    status, text = checkout.setup()
    assert status == 1
    assert "no route to host" in text
    assert "needs the network once; run the same command again" in text
    checkout.venv()
    assert checkout.setup()[0] == 0


def test_two_at_once_take_turns(checkout):
    checkout.tool("the-tool")
    checkout.venv(
        '#!/bin/sh\ntest "$1" = -m || exit 0\necho start >> turns; sleep 0.5; echo end >> turns\n',
    )
    command, environment = checkout.command(), checkout.environment()
    both = [
        subprocess.Popen(command, cwd=checkout.folder, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert (checkout.folder / "turns").read_text().split() == ["start", "end"]  # the second found it done
    assert any("waiting for another set-up" in text for text in said)


# --- The interpreter ----------------------------------------------------------------------------------------


def python(version: str, headers: bool = True, works: bool = True) -> str:
    """A stand-in for an interpreter that is asked for its path, its version, and to make a venv."""
    if not works:
        return 'echo "pyenv: command not found: the shim of a version that is not chosen" >&2; exit 127'
    return f"""case "$1 $2" in
    "- ") echo "$0" ;;
    "- "*) {"echo $0" if headers else "exit 1"} ;;
    --version*) echo "Python {version}" ;;
    "-m venv") mkdir -p .venv/bin; cd .venv/bin; echo '# made by {version}' >python; chmod +x python ;;
esac"""


@pytest.mark.parametrize(
    ("interpreters", "chosen"),
    [
        ({"python3.13": {}, "python3.10": {}}, "3.13"),
        ({"python3.13": {"works": False}, "python3.11": {}, "python3": {}}, "3.11"),
        ({"python3.13": {"headers": False}, "python3.10": {}}, "3.10"),
        ({"python3.12": {"headers": False}, "python3": {"headers": False}}, "3.12"),
        ({"python3": {}}, "3"),
    ],
)
def test_the_newest_interpreter_with_venv_and_headers_is_taken(checkout, interpreters, chosen):
    checkout.tool("the-tool")
    checkout.borrow("mkdir", "chmod")
    for name, traits in interpreters.items():
        checkout.tool(name, python(name.removeprefix("python"), **traits))
    status, text = checkout.setup()
    assert status == 0, text
    assert f"# made by {chosen}\n" in (checkout.folder / ".venv/bin/python").read_text()


def test_an_interpreter_may_be_named(checkout):
    checkout.tool("the-tool")
    checkout.borrow("mkdir", "chmod")
    checkout.tool("python3.13", python("3.13"))
    checkout.tool("my python", python("mine"))
    assert checkout.setup(PYTHON=str(checkout.bin / "my python"))[0] == 0
    assert "# made by mine" in (checkout.folder / ".venv/bin/python").read_text()


def test_a_real_interpreter_is_asked_the_right_questions(checkout):
    """This one has headers, or it could not run the other tests."""
    checkout.tool("the-tool")
    checkout.write("requirements.txt", "")
    (checkout.bin / "python3").symlink_to(sys.executable)
    question = 'source <(sed "/^main$/d" scripts/setup); newest_python with-headers'
    checkout.borrow("sed")
    answer = subprocess.run(
        ["bash", "-c", question],
        cwd=checkout.folder,
        env=checkout.environment(),
        capture_output=True,
        text=True,
    )
    assert Path(sysconfig.get_paths()["include"], "Python.h").exists()
    assert Path(answer.stdout.strip()).samefile(sys.executable), answer.stderr


def test_without_python_it_says_what_to_install(checkout):
    status, text = checkout.setup()
    assert status == 1
    assert "no Python 3.10 or newer" in text
    assert "apt-get install python3-venv python3-dev" in text


# --- The system's packages ----------------------------------------------------------------------------------


def test_without_apt_it_names_what_is_lost_and_goes_on(checkout):
    checkout.venv()
    status, text = checkout.setup()
    assert status == 0
    assert "this machine has no apt-get" in text
    assert "the-tool # the moon is not judged" in text


def test_a_library_is_there_when_the_package_manager_says_so(checkout):
    """A package need not bring a command of its own name."""
    checkout.venv()
    checkout.tool("dpkg-query", 'case "$*" in *the-tool) printf "ii " ;; *) exit 1 ;; esac')
    status, text = checkout.setup()
    assert (status, "the-tool" in text) == (0, False), text


def test_what_is_missing_is_installed_without_a_question(checkout):
    checkout.venv()
    checkout.tool("sudo", SUDO)
    checkout.tool("apt-get", f'echo "$DEBIAN_FRONTEND" "$@" >> apt.log\n{INSTALL}')
    status, text = checkout.setup()
    assert (status, "going on without" in text) == (0, False), text
    asked = (checkout.folder / "apt.log").read_text()
    assert re.fullmatch(r"noninteractive -qq -y .* install the-tool\n", asked)


def test_lists_are_fetched_only_when_needed(checkout):
    checkout.venv()
    checkout.tool("sudo", SUDO)
    script = f"""echo "$@" >> apt.log
        case "$*" in *update) exit 0 ;; esac
        grep -q update apt.log || {{ echo "E: Unable to locate package the-tool"; exit 100; }}
        {INSTALL}"""
    checkout.tool("apt-get", script)
    status, text = checkout.setup()
    assert (status, "going on without" in text) == (0, False), text
    asked = (checkout.folder / "apt.log").read_text().splitlines()
    assert [line.split()[-1] for line in asked] == ["the-tool", "update", "the-tool"]


def test_one_unknown_package_does_not_keep_the_others_away(checkout):
    checkout.venv()
    checkout.write("packages.apt", "unknown-tool  # no sun\nthe-tool  # no moon\n")
    checkout.tool("sudo", SUDO)
    script = f"""case "$*" in *unknown*) echo "E: Unable to locate package unknown-tool"; exit 100 ;; esac
        {INSTALL}"""
    checkout.tool("apt-get", script)
    status, text = checkout.setup()
    assert (status, "no sun" in text, "no moon" in text) == (0, True, False), text


@pytest.mark.parametrize("words", ["E: could not resolve host", "a failure in words of its own"])
def test_packages_that_cannot_be_fetched_are_named_with_apts_reason(checkout, words):
    checkout.venv()
    checkout.tool("sudo", SUDO)
    checkout.tool("apt-get", f'echo "{words}"; exit 100')
    status, text = checkout.setup()
    assert status == 0
    assert words in text
    assert "the moon is not judged" in text


def test_a_password_is_never_asked_for(open_folder):
    """As an ordinary user whose sudo wants one."""
    checkout = Checkout(open_folder)
    checkout.venv()
    checkout.tool("sudo", 'test "$1" = -n && exit 1; echo "Password:"; sleep 600')
    checkout.tool("apt-get", "echo must not run; exit 9")
    if os.geteuid() == 0:
        become_nobody(checkout)
    status, text = checkout.setup()
    assert status == 0, text
    assert "by hand: sudo apt-get install the-tool" in text
    assert "Password" not in text


@pytest.fixture
def open_folder():
    """A folder that every user may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def become_nobody(checkout: Checkout) -> None:
    """Give the checkout to a user without rights, and run set-up as that user."""
    for path in (checkout.folder, *checkout.folder.rglob("*")):
        shutil.chown(path, 65534, 65534)
    checkout.borrow("setpriv")
    checkout.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def test_every_package_says_what_is_lost_without_it():
    lines = [line for line in (ROOT / "packages.apt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.+-]+ +# \S.*", line) for line in lines)


# --- Pinned requirements ------------------------------------------------------------------------------------


def pins() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def applying(version: str) -> list[Requirement]:
    environment = {
        "python_version": version,
        "python_full_version": f"{version}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
    }
    return [pin for pin in pins() if pin.marker is None or pin.marker.evaluate(environment)]


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_python_gets_one_exact_version_of_everything(version):
    names = [pin.name.lower() for pin in applying(version)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins())
    assert set(names) >= {"numpy", "pytest", "cffi", "scipy-openblas32", "mypy", "ruff"}


@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_the_pins_are_within_what_the_project_asks_for(version):
    text = (ROOT / "pyproject.toml").read_text()
    asked = [Requirement(name) for name in re.findall(r'"([\w.-]+>=[^"]+)"', text.partition("[project]")[2])]
    pinned = {pin.name.lower(): str(pin.specifier).removeprefix("==") for pin in applying(version)}
    extras = ("cupy", "parsl", "copydetect", "atheris")  # for those who ask for them
    wanted = [requirement for requirement in asked if not requirement.name.startswith(extras)]
    assert len(wanted) > 10
    for requirement in wanted:
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), requirement


# --- make and CI --------------------------------------------------------------------------------------------


def make(folder: Path, *arguments: str) -> tuple[int, str]:
    """make, free of what an outer `make test` puts into the environment."""
    outer = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "LAB", "SUBMISSION", "TEST", "SEED", "CI")
    answer = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in outer},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return answer.returncode, answer.stdout


@pytest.fixture
def course(tmp_path):
    """A course with two labs whose interpreter prints what it was asked, one argument a line."""
    folder = tmp_path / "a course"
    for lab in ("alpha", "beta"):
        (folder / "labs" / lab).mkdir(parents=True)
        (folder / "labs" / lab / "lab.yaml").touch()
    (folder / "scripts").mkdir()
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for name, script in (("scripts/setup", ""), (".venv/bin/python", 'for word; do echo "<$word>"; done')):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@needs("make")
def test_make_alone_lists_every_command(course):
    status, text = make(course)
    assert status == 0
    for target in ("grade", "check", "doctor", "test", "clean"):
        assert re.search(rf"^  make {target} +\S", text, re.MULTILINE)
    assert "Labs: alpha beta" in text


@needs("make")
@pytest.mark.parametrize("target", ["grade", "check"])
def test_without_a_lab_make_says_which_there_are(course, target):
    status, text = make(course, target)
    assert status == 2
    assert "one of: alpha beta" in text


@needs("make")
def test_make_hands_over_every_option(course):
    options = ("LAB=beta", "SUBMISSION=ada", "TEST=odd sizes [row]", "SEED=-7", "JSON=a.json", "JUNIT=b.xml")
    status, text = make(course, "grade", *options, "PRACTICE=1", "DUELS=0", "REVEAL=1")
    assert status == 0
    assert text.split("\n")[:-1] == [
        *("<-m>", "<grader>", "<grade>", "<--practice>", "<--no-duels>", "<--reveal>", "<--submission=ada>"),
        *("<--test=odd sizes [row]>", "<--seed=-7>", "<--json=a.json>", "<--junit=b.xml>", "<-->", "<beta>"),
    ]


@needs("make")
@pytest.mark.parametrize("off", ["PRACTICE=0", "DUELS=1", "REVEAL=no", "SUBMISSION=", "TEST="])
def test_an_option_that_is_off_is_not_handed_over(course, off):
    assert make(course, "grade", "LAB=beta", off) == (0, "<-m>\n<grader>\n<grade>\n<-->\n<beta>\n")


@needs("make")
@pytest.mark.parametrize(
    "name", ["with a space", 'it\'s "quoted"', "$HOME $(shell id) `id`", "a;b|c&d", "ä*?[x]"]
)
def test_any_path_reaches_the_grader_as_it_was_typed(course, name):
    assert f"<--submission={name}>\n" in make(course, "grade", "LAB=beta", f"SUBMISSION={name}")[1]


@needs("make")
def test_make_check_hands_over_its_options(course):
    words = make(course, "check", "LAB=beta", "RUNS=1", "ONLY=m01 x")[1].split("\n")[:-1]
    assert words == ["<-m>", "<grader>", "<lab>", "<check>", "<--runs=1>", "<--only=m01 x>", "<-->", "<beta>"]


@needs("make")
def test_make_test_runs_every_check_and_stops_at_the_first_that_fails(course):
    python = course / ".venv" / "bin" / "python"
    checks = [
        line for line in make(course, "test")[1].splitlines() if line in ("<ruff>", "<mypy>", "<pytest>")
    ]
    assert checks == ["<ruff>", "<ruff>", "<mypy>", "<pytest>"]
    python.write_text('#!/bin/sh\necho "<$2>"; test "$2" != mypy\n')
    status, text = make(course, "test")
    assert (status, "<pytest>" in text) == (2, False)


def test_ci_runs_make_test_where_missing_tools_are_errors(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "make").write_text('#!/bin/sh\necho "make $* in $PWD with CI=$CI"\n')
    (tmp_path / "make").chmod(0o755)
    answer = subprocess.run(
        [tmp_path / ".ci" / "run"],
        cwd="/",
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert answer.stdout == f"make test in {tmp_path} with CI=true\n"


@pytest.mark.parametrize(
    "words", ["OSError: [Errno 28] No space left on device", "[Errno 122] Disk quota exceeded"]
)
def test_a_full_disk_is_told_with_what_is_needed(checkout, words):
    checkout.tool("the-tool")
    checkout.venv(f"#!/bin/sh\nif [ \"$1\" = -m ]; then echo '{words}' >&2; exit 1; fi\n")
    status, text = checkout.setup()
    assert status == 1
    assert re.search(r"no space left: .venv in .* takes \d+ MB", text)
    assert "df -h" in text and "run the same command again" in text


def test_nobody_needs_the_run_bit_of_setup():
    """An archive, a file system or a copy may lose it."""
    calls = [ROOT / "Makefile", ROOT / "action.yml", *(ROOT / "grader/authoring/templates").rglob("*")]
    for file in calls:
        if file.is_file() and "scripts/setup" in (text := file.read_text("utf-8", "replace")):
            lines = [line for line in text.splitlines() if re.search(r"scripts/setup\"?\)?\]?,?( |$)", line)]
            assert all("bash" in line or line.lstrip().startswith("#") for line in lines), (file, lines)

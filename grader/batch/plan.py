"""From what was found to what is to be done: each submission taken, named by a key, and joined with its equals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import cache, cc
from grader.batch import store
from grader.batch.intake import Found
from grader.batch.orders import Order, Terms
from grader.batch.store import Handed, Pieces
from grader.grading import grader_digest
from grader.lab import Lab
from grader.sandbox.probe import best_tier
from grader.submission import Refused, take
from grader.testing import readiness
from grader.timing import fitness


@dataclass(frozen=True)
class Job:
    """One submission to grade, for all who handed it in. `files` is empty for one that intake refused."""

    key: str
    pieces: Pieces
    folder: Path
    files: Mapping[str, str]
    owners: tuple[Handed, ...]

    @property
    def lab(self) -> str:
        return self.pieces.lab

    def order(self, root: Path, terms: Terms) -> Order:
        """What a worker is told."""
        return Order(self.key, self.lab, str(self.folder), str(root), terms)


@dataclass(frozen=True)
class Place:
    """Where gradings run, as far as it decides results."""

    compiler: str
    machine: str


def here(labs: Iterable[Lab] = ()) -> Place:
    """This machine, and what of these labs it cannot judge: mended, it grades again. Raises cc.Missing."""
    info = fitness.cpu_info()
    compiler, machine = cc.find().version, f"{info.name}, {info.cores} cores"
    lab = next((lab for lab in labs if lab.language == "c"), None)
    lacking = readiness.lacking(lab, best_tier()) if lab else ()
    return Place(compiler, f"{machine}, without {', '.join(lacking)}" if lacking else machine)


def jobs(
    found: Sequence[Found], labs: Mapping[str, Lab], terms: Terms, place: Place, work: Path
) -> list[Job]:
    """One job for each different submission, in the order in which they were found.

    The files that the labs name are copied below `work`, so that a job is the same whenever it is done.
    """
    alike: dict[str, Job] = {}
    for item in found:
        job = _job(item, labs[item.lab], terms, place, work)
        known = alike.get(job.key, job)
        owners = job.owners if known is job else (*known.owners, *job.owners)
        alike[job.key] = Job(known.key, known.pieces, known.folder, known.files, owners)
    return list(alike.values())


def _job(item: Found, lab: Lab, terms: Terms, place: Place, work: Path) -> Job:
    files: dict[str, str] = {}
    notes = list(item.notes)
    folder = item.folder
    try:
        taken = take(item.folder, lab)
        digest = taken.digest
        notes += taken.notes
        files = {path: data.decode() for path, data in taken.files.items()}
        folder = laid_out(files, digest, work)
    except Refused as refused:
        digest = store.REFUSED + cache.key(str(refused))
    owner = Handed(item.student, item.lab, item.at, tuple(notes))
    pieces = pieces_of(digest, lab, terms, place)
    return Job(key_of(pieces), pieces, folder, files, (owner,))


def pieces_of(digest: str, lab: Lab, terms: Terms, place: Place, again: int = 0) -> Pieces:
    """All that decides the result of a submission."""
    return Pieces(
        digest, lab.id, lab.digest, grader_digest(), place.compiler, place.machine, terms.how, again
    )


def key_of(pieces: Pieces) -> str:
    """The hash of all that decides a result."""
    rest = (pieces.grader, pieces.compiler, pieces.machine, pieces.how, str(pieces.again))
    return cache.key("batch 2", pieces.submission, pieces.lab, pieces.lab_digest, *rest)


def laid_out(files: Mapping[str, str], digest: str, work: Path) -> Path:
    """A folder with these files, named by their digest: a result that several share names none of them."""
    folder = work / "submissions" / digest[:16]
    for path, text in files.items():
        target = folder / path
        if not target.is_file() or target.read_bytes() != text.encode():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
    return folder

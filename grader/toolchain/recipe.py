"""The command lines of a C build: what the compiler is asked for each variant, for submissions and trials alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grader import cc
from grader.lab import Lab
from grader.toolchain import module

Variant = Literal["release", "asan", "tsan", "faults"]

COMMON_FLAGS = (
    *("-std=gnu11", "-fPIC", "-pthread", "-gdwarf-4", "-Wall", "-Wextra"),
    "-fsemantic-interposition",
)
"""DWARF 4: valgrind before 3.21 gives up on what clang 14 and newer write by default (version 5).

Semantic interposition, the default of gcc: clang would inline one function of the lab into another, and what is counted
by its name would not be there.
"""
WRAPPED = (
    *("malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "free", "mmap", "munmap"),
    "pthread_create",
)
_VARIANT_FLAGS: Mapping[Variant, tuple[str, ...]] = {
    "release": (),
    "asan": (
        "-O1",
        "-fno-omit-frame-pointer",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ),
    "tsan": ("-O1", "-fno-omit-frame-pointer", "-fsanitize=thread"),
    "faults": tuple(f"-Wl,--wrap={name}" for name in WRAPPED),
}
LIBRARY = module.LIBRARY
LINK = ("-z,defs", "-z,noexecstack", f"-soname,{LIBRARY}")

Choice = tuple[tuple[str, ...], ...]
"""Ways to ask for one thing, the best first; () is to do without."""

TOLD: tuple[Choice, ...] = (
    (("-fdiagnostics-format=json",), ("-fdiagnostics-format=sarif-stderr",), ()),
    (("-Wbidi-chars=any",), ()),
)
"""Conveniences: how the compiler speaks, and warnings that not every one knows. gcc has JSON from 9 to 15."""

SHARED_RUNTIME: Choice = ((), ("-shared-libsan",))
"""How a sanitizer's runtime becomes a library that is loaded first: gcc's always is one, clang's when it is asked."""

RUNTIMES: Mapping[Variant, tuple[str, ...]] = {
    "asan": ("libclang_rt.asan-x86_64.so", "libclang_rt.asan.so", "libasan.so"),
    "tsan": ("libclang_rt.tsan-x86_64.so", "libclang_rt.tsan.so", "libtsan.so"),
}
"""Clang's own first: asked for gcc's, clang names those of the gcc that it found beside it."""

_AT_ITS_OWN_PLACE = ("-no-pie",)
"""Of an executable with AddressSanitizer. A position-independent one the kernel puts anywhere from 0x555555554000 on,
with vm.mmap_rnd_bits=32 within 16 TiB of it (ELF_ET_DYN_BASE, fs/binfmt_elf.c). Four of those, from 0x600000000000 on,
are where AddressSanitizer of gcc 12 must have its heap: one start in four dies before main, wherever personality(2) may
not turn the drawing off. At 0x400000, where the linker puts what is not position-independent, none does."""

_LOADERS_OWN = re.compile(r"/usr/(lib|lib64|lib/[^/]+-linux-gnu)")


@dataclass(frozen=True)
class Recipe:
    """A variant's compiler and flags, as far as this compiler takes them. Paths in commands are the sandbox's."""

    compiler: cc.Compiler
    variant: Variant
    flags: tuple[str, ...]
    libraries: tuple[str, ...]
    told: tuple[str, ...] = ()
    """How it is to speak, and other conveniences that it knows."""
    runtime: tuple[str, ...] = ()
    """How it is to link a sanitizer's runtime."""

    @property
    def identity(self) -> str:
        """The whole of it, for the key of what it builds."""
        return "\n".join([self.compiler.identity, *self.library([], []), *self.program("", [], [])])

    def library(self, sources: Sequence[str], objects: Sequence[str]) -> list[str]:
        """The command that makes the shared library."""
        link = ["-shared", *(f"-Wl,{option}" for option in LINK), *self.libraries]
        return [*self._start(), *sources, *objects, *self.runtime, *link, "-o", f"../out/{LIBRARY}"]

    def program(self, name: str, sources: Sequence[str], objects: Sequence[str]) -> list[str]:
        """The command that makes the executable `name`."""
        where = _AT_ITS_OWN_PLACE if self.variant == "asan" else ()
        parts = [*sources, *objects, *self.runtime, *where, "-Wl,-z,noexecstack", *self.libraries]
        return [*self._start(), *parts, "-o", f"../out/{name}"]

    def object(self, source: str) -> list[str]:
        """The command that only compiles `source`; what it makes is thrown away."""
        return [*self._start(), "-c", source, "-o", "../out/alone.o"]

    def preprocessed(self, source: str) -> list[str]:
        """The command that prints `source` as the compiler proper sees it; -g would add a marker for the folder."""
        return [self.compiler.program, "-E", *self.flags, "-g0", "-iquote", "../lab", source]

    def _start(self) -> list[str]:
        return [self.compiler.program, *self.told, *self.flags, "-iquote", "../lab"]


def of(lab: Lab, variant: Variant) -> Recipe:
    """What a C lab's variant asks of the compiler, before it is known what the compiler takes. Raises cc.Missing."""
    wrapped = _wraps(lab) if variant == "faults" else ()
    flags = (*COMMON_FLAGS, *lab.build.flags, *_VARIANT_FLAGS[variant], *wrapped, *_runtimes_folder(variant))
    return Recipe(cc.find(), variant, flags, tuple(f"-l{name}" for name in lab.build.libraries))


def wrapping(lab: Lab, variant: Variant) -> tuple[str, ...]:
    """The linker's options that put staff's allocator between the submission and the C library."""
    flags = (*_VARIANT_FLAGS["faults"], *_wraps(lab)) if variant == "faults" else ()
    return tuple(flag.removeprefix("-Wl,") for flag in flags)


def staff_sources(lab: Lab, variant: Variant) -> tuple[Path, ...]:
    """Staff's sources that are built into this variant of every submission."""
    return (*lab.glue_paths, *(lab.fault_paths if variant == "faults" else ()))


def staff_files(lab: Lab, variant: Variant = "faults") -> list[Path]:
    """Staff's sources of a variant, their headers, and the lab's own: what lies in the sandbox's folder `lab`."""
    sources = staff_sources(lab, variant)
    shared = [module.GPU_SUPPORT] if lab.language == "cuda" else []
    beside = [path for source in sources for path in (source, source.with_suffix(".h")) if path.exists()]
    return [lab.header_path, *shared, *beside]


def _runtimes_folder(variant: Variant) -> tuple[str, ...]:
    """-rpath for a sanitizer's runtime where no loader looks: beside a compiler unpacked in a folder of its own."""
    for name in RUNTIMES.get(variant, ()):
        if path := cc.library(name):
            return () if _LOADERS_OWN.fullmatch(str(path.parent)) else (f"-Wl,-rpath,{path.parent}",)
    return ()


def _wraps(lab: Lab) -> tuple[str, ...]:
    """The linker's flags for every __wrap_NAME that the lab's fault sources define."""
    texts = [path.read_text(encoding="utf-8") for path in lab.fault_paths]
    names = dict.fromkeys(name for text in texts for name in re.findall(r"\b__wrap_(\w+)\s*\(", text))
    return tuple(f"-Wl,--wrap={name}" for name in names if name not in WRAPPED)

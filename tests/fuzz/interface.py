"""A lab's declarations: an interface, or ValueError that names the header."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from grader.toolchain import interface


def one_input(data: bytes) -> None:
    """All of it is the preprocessed header."""
    text = data.decode("utf-8", "replace")
    with mock.patch.object(interface, "declarations", lambda header: text):
        try:
            found = interface.read.__wrapped__(Path("lab.h"))
        except ValueError as error:
            assert "lab.h" in str(error)
            return
    assert all(name == function.name for name, function in found.functions.items())

"""Text that came from a submission, made safe to show: one cleaning function per output format.

Nothing is dropped silently: what cannot be shown appears as an escape such as `\\x1b`, and a cut says how
much it left out.
"""

from __future__ import annotations

import re
import unicodedata

# Everything that is not printable ASCII, a newline or a tab is looked at; ordinary text never is.
_SUSPECT = re.compile(r"[^\n\t\x20-\x7e]")

# The complement of the production Char of XML 1.0, section 2.2; and the carriage return, which a parser would
# turn into a newline (section 2.11).
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# All that CommonMark and GitHub give a meaning to inside a line or a table cell; "." and ":" begin automatic links.
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>()#+!|~@&$:]|(?<=www)\.|^[-=]|^\d+(?=[.)])")


def plain(text: str, limit: int = 4000) -> str:
    """Text for a terminal or any other plain display.

    Control characters (C0 except newline and tab, DEL, C1), format characters (bidi overrides, zero-width and
    tag characters), line and paragraph separators, lone surrogates and unassigned characters become visible
    escapes; Windows line ends become newlines. At most `limit` characters are kept: two thirds from the start
    and one third from the end, in whole lines where possible, around a line that counts what was left out.
    """
    escaped = _SUSPECT.sub(_visible, text.replace("\r\n", "\n"))
    return escaped if len(escaped) <= limit else _without_middle(escaped, limit)


def one_line(text: str, limit: int = 200) -> str:
    """`plain` text on one line: every run of white space becomes one space."""
    joined = " ".join(plain(text, limit=10 * limit).split())
    return joined if len(joined) <= limit else joined[: max(0, limit - 4)] + " ..."


def xml(text: str) -> str:
    """Text with only the characters that XML 1.0 allows; the others become visible escapes.

    Markup such as '<' or ']]>' stays as it is: escaping it is the serialiser's work.
    """
    return _NOT_XML.sub(_escape, text)


def markdown(text: str) -> str:
    """`one_line` text for GitHub-flavoured Markdown: no character of it is read as markup, mention, link or HTML.

    Every character with a meaning becomes a numeric entity, which Markdown shows as the plain character
    (CommonMark, section 2.5).
    """
    return _MARKDOWN.sub(lambda match: "".join(f"&#{ord(one)};" for one in match.group()), text)


def fenced(text: str, language: str = "") -> str:
    """A Markdown code block around `text`, with a fence that no line of it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    # A wide or no-break space counts as not printable in Python, yet is ordinary text.
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return _escape(match)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _without_middle(text: str, limit: int) -> str:
    """Cut `text`, longer than `limit`, in the middle; at line ends if the parts that stay have any."""
    tail_length = limit // 3
    head, tail = text[: limit - tail_length], text[len(text) - tail_length :]
    head_end, tail_start = head.rfind("\n"), tail.find("\n")
    if head_end < 0 or tail_start < 0:
        return f"{head}\n... {len(text) - limit} characters left out ...\n{tail}"
    head, tail = head[:head_end], tail[tail_start + 1 :]
    dropped = text.count("\n") - head.count("\n") - tail.count("\n") - 1
    return f"{head}\n... {dropped} lines left out ...\n{tail}"

"""Facts about the contract's document: its example, its error and its tables are the real ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from grader.lab import Contract, load_lab
from tests.sample_contracts import DOCUMENT, FIELDS, course, refusal

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


def example() -> str:
    """The complete example of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.search(r"```yaml\n(schema: 1\n.*?)```", text, re.DOTALL)[1]  # type: ignore[index]


def test_the_example_of_the_document_is_valid_and_names_every_field(tmp_path: Path) -> None:
    text = example()
    lab = load_lab("gemm_cpu", course(tmp_path, text))
    assert lab.title
    missing = [name for name in FIELDS if name != "schema_version" and not re.search(rf"\b{name}:", text)]
    assert missing == []


def test_the_error_of_the_document_is_the_real_one(tmp_path: Path) -> None:
    text = example().replace("silver: 0.50", "silver: 0.20").replace("  flags:", "  flag:")
    shown = re.search(r"```text\n(labs/.*?)\n```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert refusal(course(tmp_path, text)) == shown[1]


def _kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        return f"[{schema['$ref'].split('/')[-1].lower()}](#{schema['$ref'].split('/')[-1].lower()})"
    if "anyOf" in schema:
        return _kind(schema["anyOf"][0])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    if schema["type"] == "object":
        return f"mapping to {_kind(schema['additionalProperties'])}"
    name = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}[
        schema["type"]
    ]
    low, above, high = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None:
        return f"{name}, {low} to {high}"
    return f"{name} above {above}, at most {high}" if above is not None else name


def tables() -> str:
    """The tables of the document, from the descriptions in the code."""
    schema = Contract.model_json_schema()
    records = {"The whole file": schema, **{name: schema["$defs"][name] for name in DOCUMENT_ORDER}}
    parts = []
    for title, record in records.items():
        lines = [
            f"### {title}",
            "",
            record["description"],
            "",
            "| field | value | default | meaning |",
            "|---|---|---|---|",
        ]
        for name, field in record["properties"].items():
            needed = name in record.get("required", [])
            default = "**needed**" if needed else _default(field)
            lines.append(f"| `{name}` | {_kind(field)} | {default} | {field['description']} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


DOCUMENT_ORDER = [
    *("Source", "Interface", "Build", "Program", "Limits", "Sandbox"),
    *("Reference", "Gate", "Duel", "Hardware", "Rung"),
]


def _default(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return "its defaults"
    default = field.get("default")
    if default is None and "additionalProperties" in field:
        return "see the example" if field["description"].startswith("Tier") else "none"
    return (
        "none"
        if default in (None, [], ())
        else f"`{yaml.safe_dump(default, default_flow_style=True).split(chr(10))[0]}`"
    )


def test_the_tables_of_the_document_are_current() -> None:
    assert sorted(DOCUMENT_ORDER) == sorted(Contract.model_json_schema()["$defs"])
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    new = f"\n\n{tables()}\n\n"
    if os.environ.get("RENEW") == "1":
        DOCUMENT.write_text(before + BEGIN + new + END + after, encoding="utf-8")
        return
    assert old == new, "renew docs/lab-contract.md: RENEW=1 python -m pytest tests/contract/test_model.py"

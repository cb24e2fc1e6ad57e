"""The tables of a report as LaTeX, to be \\input into a proposal or a paper."""

import textwrap
from collections.abc import Iterable
from typing import Any

from profiling.reporting import blocks

HEADING = 10  # letters per line of a heading
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
_SPECIAL |= {sign: f"\\textsuperscript{{{number}}}" for number, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}


def tables(document: dict[str, Any]) -> str:
    """Return the content of table.tex."""
    lines = [f"% {blocks.title(document)}, made {document['made']}. It needs \\usepackage{{booktabs,graphicx}}."]
    for block in blocks.blocks(document):
        if not block.header:
            lines += ["", *(f"% {block.title}: {note}" for note in block.notes)]
            continue
        caption = " ".join([f"{block.title} ({document.get('series', document['study'])}).", *block.notes])
        lines += [
            "",
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            r"\smallskip",
            r"\setlength{\tabcolsep}{3.5pt}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{'r' * len(block.header)}}}",
            r"\toprule",
            _row(map(_stacked, block.header)),
            r"\midrule",
            *(_row(map(escape, row)) for row in block.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def escape(words: str) -> str:
    """Escape text for LaTeX. Characters beyond the Latin letters, which pdfLaTeX cannot set, become question marks."""
    known = "".join(sign if ord(sign) < 0x250 or sign in _SPECIAL else "?" for sign in words)
    return "".join(_SPECIAL.get(sign, sign) for sign in known).replace("--", "-{}-")


def _stacked(title: str) -> str:
    """Break a heading into short lines, so that its column is not wider than its cells."""
    lines = textwrap.wrap(title, HEADING, break_long_words=False, break_on_hyphens=False)
    stack = r" \\{} ".join(map(escape, lines))  # a bracket after the bare command would be its option
    return rf"\shortstack[r]{{{stack}}}"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"

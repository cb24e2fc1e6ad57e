"""The tables of a report as LaTeX, to be \\input into a proposal or a paper."""

from typing import Any

from profiling import blocks

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
_SPECIAL |= {sign: f"\\textsuperscript{{{number}}}" for number, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}


def tables(document: dict[str, Any]) -> str:
    """The content of table.tex."""
    lines = [
        f"% Scaling study {document['study']}, made {document['made']}. It needs \\usepackage{{booktabs,graphicx}}."
    ]
    for block in blocks.blocks(document):
        caption = " ".join([f"{block.title} ({document['series']}).", *block.notes])
        lines += [
            "",
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{'r' * len(block.header)}}}",
            r"\toprule",
            _row(block.header),
            r"\midrule",
            *map(_row, block.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def escape(said: str) -> str:
    """Text as LaTeX shows it; signs beyond UTF-8's Latin letters, which pdfLaTeX cannot set, become a question mark."""
    known = "".join(sign if ord(sign) < 0x250 or sign in _SPECIAL else "?" for sign in said)
    return "".join(_SPECIAL.get(sign, sign) for sign in known)


def _row(cells: list[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"

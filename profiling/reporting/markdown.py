"""A report as Markdown."""

from typing import TYPE_CHECKING, Any

from profiling import text
from profiling.reporting import blocks

if TYPE_CHECKING:
    from profiling.reporting.figures import Plot  # imports matplotlib


def report(document: dict[str, Any], figures: "dict[str, Plot]") -> str:
    """Return the content of report.md, which shows the figures in figures/."""
    lines = [f"# {blocks.title(document)}", "", blocks.summary(document), ""]
    lines += [f"**{problem}**  " for problem in [*document["problems"], *document.get("crowded", [])]]
    lines += [
        "",
        "| | |",
        "|---|---|",
        *(f"| {label} | {safe(value)} |" for label, value in document["about"].items()),
        "",
    ]
    for block in blocks.blocks(document):
        header = [safe(cell) for cell in block.header]
        rows = [[safe(cell) for cell in row] for row in block.rows]
        table = [text.markdown(header, rows), ""] if header else []
        lines += [f"## {block.title}", "", *table, *(f"{note}  " for note in block.notes), ""]
    lines += ["## Figures", ""] if figures else []
    for name, plot in figures.items():
        lines += [f"![{plot.title}](figures/{name}.svg)", "", f"**{plot.title}.** {plot.caption}", ""]
    lines += ["## How it was measured, and what was left out", "", *(f"- {note}" for note in document["notes"]), ""]
    return "\n".join([*lines, f"Made {document['made']}."]) + "\n"


def safe(words: str) -> str:
    """Escape text as one cell of a table."""
    return words.replace("|", "\\|")

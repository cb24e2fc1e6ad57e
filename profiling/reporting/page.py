"""A report as one HTML file that needs nothing else: no network, no other file."""

import json
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from profiling.reporting import blocks
from profiling.reporting.blocks import Block

if TYPE_CHECKING:
    from profiling.reporting.figures import Plot  # imports matplotlib

WIDE = 7  # inches: a wider figure takes the whole width of the page


def page(document: dict[str, Any], drawn: "dict[str, Plot]") -> str:
    """The content of index.html, which also contains the document as JSON."""
    shown = blocks.blocks(document)
    tables = [_table(block) for block in shown]
    titles = [block.title for block in shown]  # the figures stand between the measured and the predicted
    measured = next((place for place, title in enumerate(titles) if title.startswith(blocks.PREDICTED)), len(titles))
    about = [
        f"<dt>{escape(label)}</dt><dd{' class=command' if label == 'command' else ''}>{escape(value)}</dd>"
        for label, value in document["about"].items()
    ]
    return Template(_template("html")).substitute(
        title=escape(blocks.title(document)),
        css=_template("css"),
        js=_template("js"),
        summary=escape(blocks.summary(document)),
        problems="\n".join(f'<p class="problem">{escape(problem)}</p>' for problem in document["problems"]),
        about="\n".join(about),
        first_tables="\n".join(tables[:measured]),
        figures="\n".join(_figure(plot) for plot in drawn.values()),
        other_tables="\n".join(tables[measured:]),
        notes="\n".join(f"<li>{escape(note)}</li>" for note in document["notes"]),
        made=escape(document["made"]),
        # "</script>" in a text would end the element.
        json=json.dumps(document, ensure_ascii=False).replace("<", "\\u003c"),
    )


def _template(kind: str) -> str:
    return (resources.files("profiling.reporting") / "templates" / f"report.{kind}").read_text(encoding="utf-8")


def _table(block: Block) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in block.header)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in block.rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in block.notes)
    return (
        f"<section>\n<h2>{escape(block.title)}</h2>\n"
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n'
        f'<ul class="notes">{notes}</ul>\n</section>'
    )


def _cell(words: str) -> str:
    empty = words in ("N/A", "one repeat", "base", "not yet")
    return f"<td{' class=empty' if empty else ''}>{escape(words)}</td>"


def _figure(plot: "Plot") -> str:
    buttons = "".join(
        f'<button type="button" data-zoom="{key}" title="{title}">{sign}</button>'
        for key, sign, title in (("+", "+", "zoom in"), ("-", "−", "zoom out"), ("0", "⟲", "the whole figure"))
    )
    wide = " class=whole" if plot.figure.get_figwidth() > WIDE else ""
    return (
        f'<figure{wide}>\n<div class="bar"><h3>{escape(plot.title)}</h3><div>{buttons}</div></div>\n'
        f"{plot.inline}\n<figcaption>{escape(plot.caption)}</figcaption>\n</figure>"
    )

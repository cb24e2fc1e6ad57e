"""A report as one HTML file that needs nothing else: no network, no other file."""

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from profiling.reporting import blocks

if TYPE_CHECKING:
    from profiling.reporting.figures import Plot  # imports matplotlib

WIDE = 7  # inches: a wider figure takes the whole width of the page
EMPTY = ("N/A", "one repeat", "base", "not yet")
"""Cells that hold no value."""


def page(document: dict[str, Any], drawn: "dict[str, Plot]") -> str:
    """Return the content of index.html, which also contains the document as JSON. Every text in it is escaped."""
    shown = blocks.blocks(document)
    measured = next(
        (place for place, block in enumerate(shown) if block.title.startswith(blocks.PREDICTED)), len(shown)
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_template("html")).render(
        document=document,
        title=blocks.title(document),
        summary=blocks.summary(document),
        css=Markup(_template("css")),
        js=Markup(_template("js")),
        groups=[shown[:measured], shown[measured:]],  # the figures stand between the measured and the predicted
        figures=[(plot, Markup(plot.inline), plot.figure.get_figwidth() > WIDE) for plot in drawn.values()],
        empty=EMPTY,
        # "</script>" in a text would end the element.
        json=Markup(json.dumps(document, ensure_ascii=False).replace("<", "\\u003c")),
    )


def _template(kind: str) -> str:
    return (resources.files("profiling.reporting") / "templates" / f"report.{kind}").read_text(encoding="utf-8")

"""The figures of a report as files - SVG, PDF, PNG - and as SVG that takes the colours of a page."""

import io
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from xml.sax.saxutils import escape

import matplotlib
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from profiling.reporting import curves, parallel_coordinates, plots, style
from profiling.reporting.style import BLUE, GRID, INK, MUTED, ORANGE, PAPER, PARTS

NAMES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper", BLUE: "blue", ORANGE: "orange"}
NAMES |= {colour: f"part{number}" for number, colour in enumerate(PARTS)}
"""Colour -> name of the page's variable for it (templates/report.css)."""

STYLE: Any = {  # rc parameters of Matplotlib
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the font of the page
    "svg.hashsalt": "rankloop",  # the same document gives the same file
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "figure.dpi": 100,
}
_DPI = 200
Canvas = TypeVar("Canvas", bound=FigureCanvasBase)


class Plot(NamedTuple):
    """A figure of a report."""

    title: str
    caption: str
    svg: str  # the content of a file; marks have titles, which are shown on hover
    inline: str  # the same figure as an element of a page
    figure: Figure  # the figure itself, for the other forms

    def save(self, folder: Path, name: str) -> None:
        """Write the figure as SVG, PDF and PNG."""
        (folder / f"{name}.svg").write_text(self.svg, encoding="utf-8")
        with matplotlib.rc_context(STYLE):
            _canvas(FigureCanvasPdf, self.figure).print_pdf(folder / f"{name}.pdf", metadata={"CreationDate": None})
            _canvas(FigureCanvasAgg, self.figure).print_png(folder / f"{name}.png")


def draw(document: dict[str, Any]) -> dict[str, Plot]:
    """Draw all figures for which there are data, and return them by the names of their files."""
    if "sweep" in document:
        chosen = parallel_coordinates.figure(document["sweep"])
    elif "tables" in document:
        chosen = curves.figures(document)
    else:
        levels = {"level": f"{document['confidence']:.0%}", "forecast": f"{document['prediction']['confidence']:.0%}"}
        chosen = {
            name: (title, _of_what(document, caption).format(**levels), paint)
            for name, (title, caption, paint) in plots.FIGURES.items()
            if (name != "gpus" or document["gpus"]) and not (document["whole"] and name in plots.OF_STEPS)
        }
    return painted(document, chosen)


def painted(document: dict[str, Any], chosen: dict[str, tuple[str, str, style.Painter]]) -> dict[str, Plot]:
    """Draw figures, given as name -> title, caption and painter."""
    with matplotlib.rc_context(STYLE):
        return {name: _draw(document, name, *how) for name, how in chosen.items()}


def _of_what(document: dict[str, Any], caption: str) -> str:
    """Return the caption of a figure, adapted to a study whose runs were timed as a whole."""
    return caption.replace("over its timed steps", "while it ran") if document["whole"] else caption


def _draw(document: dict[str, Any], name: str, title: str, caption: str, paint: style.Painter) -> Plot:
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    tips: list[str] = []
    paint(document, figure, tips)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is final now, in all forms
    svg = _svg(figure, tips)
    return Plot(title, caption, svg, _inline(svg, name), figure)


def _svg(figure: Figure, tips: list[str]) -> str:
    file = io.StringIO()
    _canvas(FigureCanvasSVG, figure).print_svg(file, metadata={"Date": None, "Creator": None})

    def titled(found: re.Match) -> str:
        return f'<g id="tip{found[1]}" class="tip"><title>{escape(tips[int(found[1])])}</title>'

    return re.sub(r'<g id="tip(\d+)">', titled, file.getvalue())


def _canvas(kind: type[Canvas], figure: Figure) -> Canvas:
    """Return a canvas of the figure. `Figure.savefig` would draw it twice to lay it out, which has been done."""
    figure.set_dpi(_DPI)  # resolution of bitmaps; a canvas for vector graphics changes it
    return kind(figure)


def _inline(svg: str, name: str) -> str:
    """Return a figure in the page's colours, as wide as its place, with unique ids."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg [^>]*viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" role="img" tabindex="0">', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'id="', f'id="{name}-', svg)
    svg = re.sub(r"(url\(#|xlink:href=\"#)", rf"\g<1>{name}-", svg).replace("xlink:href", "href")
    return re.sub("#[0-9a-f]{6}", lambda found: f"var(--{NAMES[found[0]]})" if found[0] in NAMES else found[0], svg)

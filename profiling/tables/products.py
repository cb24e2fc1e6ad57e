"""Workers that a table gives as a product, such as nodes and ranks per node: a column of them is added to the grid."""

import re
from collections.abc import Sequence
from dataclasses import replace

from profiling.tables import names
from profiling.tables.cells.counts import count
from profiling.tables.grid import Grid, Row

_RANKS = {"rank", "process"}


def with_product(grid: Grid) -> Grid:
    """Return a grid with a column of all workers, if those within another vary and no column has their product.

    Where they do not vary, the product is proportional to its other factor, and needs no column.
    """
    headings = [names.heading(name) for name in grid.header]
    counts = [[count(row.cells[place]) for row in grid.rows] for place in range(len(grid.header))]
    if any(name.lower() == "workers" for name in grid.header):
        return grid
    for place, shape in enumerate(headings):
        if shape.meaning != "shape" or not _varies(counts[place]):
            continue
        kinds = _RANKS if shape.worker in _RANKS else {shape.worker}
        whole = [at for at, one in enumerate(headings) if one.meaning == "workers" and one.worker in kinds]
        if not whole:
            continue
        product = [
            a * b if isinstance(a, int) and isinstance(b, int) else None
            for a, b in zip(counts[whole[0]], counts[place])
        ]
        if not _varies(product) or product in counts:
            continue
        inner = re.split(r"\s*/|[\s_-]+per[\s_-]", shape.text)[0].strip()
        inner = inner if inner != shape.text else "processes"  # ppn
        if any(one.meaning == "workers" and one.worker == names.heading(inner).worker for one in headings):
            continue
        called = f"{inner} in all"
        said = f"{called} are {headings[whole[0]].text} times {shape.text}, as {shape.text} varies"
        rows = tuple(Row(row.where, (*row.cells, value)) for row, value in zip(grid.rows, product))
        # Threads of ranks of nodes: what is within the product may vary as well.
        return with_product(replace(grid, header=(*grid.header, called), rows=rows, notes=(*grid.notes, said)))
    return grid


def _varies(values: Sequence[int | str | None]) -> bool:
    return len({value for value in values if isinstance(value, int)}) > 1

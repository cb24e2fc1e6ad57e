"""Tables for the terminal."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], sides: str = "<") -> str:
    """Return the lines of a table, its columns two blanks apart.

    Parameters
    ----------
    rows : sequence of sequence of str
        The cells, including the headings.
    sides : str
        For each column ``<`` (left) or ``>`` (right); the last sign is for all further columns.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = sides.ljust(len(widths), sides[-1])
    lines = (
        "  ".join(f"{cell:{sign}{width}}" for cell, sign, width in zip(row, signs, widths)).rstrip() for row in rows
    )
    return "\n".join(lines)


def on_a_line(text: str) -> str:
    """Return a text with line breaks and other control characters escaped."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)

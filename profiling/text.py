"""Tables as text: aligned columns for the terminal, or Markdown."""

from collections.abc import Callable, Sequence

Form = Callable[[float], str]


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Right-aligned columns, two blanks between."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns right-aligned."""
    lines = [header, ["---:"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, digits: int = 5) -> str:
    """Some significant digits, without an exponent where that is readable."""
    rounded = float(f"{value:.{digits}g}")  # 99999.6 has six digits before the point once it is rounded
    return f"{value:.0f}" if 10**digits <= abs(rounded) < 1e12 else f"{value:.{digits}g}"


def percent(value: float) -> str:
    """A share in per cent, one digit behind the point."""
    return f"{value:.1%}"


def span(low: float, high: float, form: Form = number) -> str:
    """An interval."""
    return f"[{form(low)}, {form(high)}]"

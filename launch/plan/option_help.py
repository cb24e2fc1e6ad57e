"""The help text of the options of a dataclass."""

import ast
import dataclasses
import inspect
import io
import sys
import textwrap
import tokenize

from launch.plan import typed
from launch.plan.options import flags
from launch.plan.typed import is_many, scalar

_LEFT = 33  # columns before the text
_WIDTH = 84


def describe(cls: type) -> str:
    """One or more lines for each option: its spellings, its type or choices, its description, and its default.

    The description is in the field's metadata as ``help``, in a comment (after the field and in the following lines, or
    in the lines above it), or in a string after the field.
    """
    notes, lines = _notes(cls), []
    for field in dataclasses.fields(cls):
        hint = typed.hint(cls, field.name)
        base, choices, _ = scalar(hint)
        *short, name = flags(field)
        default = field.default
        if base is bool:
            name, kind = f"--[no-]{name[2:]}" if default is True else name, ""
        else:
            kind = "|".join(map(str, choices)) if choices else base.__name__.upper()
            kind = f" {kind}" + (f"{field.metadata['separator']}..." if "separator" in field.metadata else "")
        note = (
            field.metadata.get("help")
            or notes.get(field.name)
            or f"(the field {field.name} has no comment that says it)"
        )
        if is_many(hint) and "separator" not in field.metadata:
            note += "; may be repeated"
        if default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            note += " [required]"
        elif isinstance(default, tuple) and default:
            note += f" [{field.metadata.get('separator', ' ').join(map(str, default))}]"
        elif default is not False and default not in (None, "", (), dataclasses.MISSING):
            note += f" [{'yes' if default is True else default}]"
        left = "  " + ", ".join([*short, name]) + kind
        wrapped = textwrap.wrap(note, _WIDTH)
        if len(left) > _LEFT:
            lines.append(left)
            left = ""
        lines += [f"{left:<{_LEFT + 2}}{wrapped[0]}", *(" " * (_LEFT + 2) + line for line in wrapped[1:])]
    return "\n".join(lines)


def _notes(cls: type) -> dict[str, str]:
    """The descriptions of all fields in the source, including those of base classes."""
    notes: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base) or base.__module__ not in sys.modules:
            continue
        try:
            source = textwrap.dedent(inspect.getsource(base))
            (definition,) = ast.parse(source).body
            tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
        except (OSError, TypeError, SyntaxError, ValueError, tokenize.TokenError):
            continue  # made at run time, or its source is missing
        if isinstance(definition, ast.ClassDef):
            notes |= _of_fields(definition, tokens)
    return notes


def _of_fields(definition: ast.ClassDef, tokens: list[tokenize.TokenInfo]) -> dict[str, str]:
    comments = {token.start[0]: token for token in tokens if token.type == tokenize.COMMENT}
    alone = {line for line, token in comments.items() if not token.line[: token.start[1]].strip()}
    notes: dict[str, str] = {}
    used: set[int] = set()
    for node, after in zip(definition.body, [*definition.body[1:], None]):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        last = node.end_lineno or node.lineno
        lines = [line for line in range(node.lineno, last + 1) if line in comments]
        above = node.lineno - 1
        if lines:
            while last + 1 in alone:
                lines.append(last := last + 1)
        else:
            while above in alone - used:
                lines.insert(0, above)
                above -= 1
        used.update(lines)
        text = " ".join(comments[line].string.lstrip("#").strip() for line in lines)
        if not text and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = " ".join(str(after.value.value).split())
        notes[node.target.id] = text
    return notes

"""The help text of the options of a dataclass."""

import ast
import dataclasses
import inspect
import io
import sys
import textwrap
import tokenize
from pathlib import Path
from typing import Any

from launch.plan import typed
from launch.plan.options import flags
from launch.plan.typed import is_many, scalar

_LEFT = 33  # columns before the text
_WIDTH = 84
_VALUES = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def describe(cls: type, heading: str = "options") -> str:
    """Return the options of a dataclass under headings, with one or more lines for each option: its spellings, its
    value or choices, its description, and its default.

    The description is in the field's metadata as ``help``, in a comment (after the field and in the following lines, or
    in the lines above it), or in a string after the field. The metadata may also have the ``group`` of the option,
    which becomes its heading, and the name of its ``value``, best with its unit. Options without a group come under
    ``heading``, those of the class itself before those that it inherits.
    """
    notes = _notes(cls)
    own = cls.__dict__.get("__annotations__", {})
    groups: dict[str, list[str]] = {}
    for field in sorted(dataclasses.fields(cls), key=lambda field: field.name not in own):
        note = _note(field, notes)
        lines = _lines(cls, field, note or f"(not described: write a comment behind the field {field.name})")
        groups.setdefault(field.metadata.get("group", heading), []).extend(lines)
    return "\n\n".join("\n".join([name, *lines]) for name, lines in groups.items())


def note(cls: type, field: dataclasses.Field) -> str:
    """Return the description of one option; empty if there is none."""
    return _note(field, _notes(cls))


def _note(field: dataclasses.Field, notes: dict[str, str]) -> str:
    return field.metadata.get("help") or notes.get(field.name, "")


def _lines(cls: type, field: dataclasses.Field, note: str) -> list[str]:
    """Return the lines of one option."""
    hint = typed.hint(cls, field.name)
    base, choices, _ = scalar(hint)
    *short, name = flags(field)
    default = field.default
    if base is bool:
        kind = ""
        if default is True:
            name, note = f"--[no-]{name[2:]}", f"{note} [on]"
    else:
        kind = "|".join(map(str, choices)) if choices else field.metadata.get("value", _VALUES[base])
        kind = f" {kind}" + (f"{field.metadata['separator']}..." if "separator" in field.metadata else "")
        if is_many(hint) and "separator" not in field.metadata:
            note += "; may be repeated"
        if default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            note += " [required]"
        elif default not in (None, "", (), dataclasses.MISSING):
            note += f" [{_typed(default, field.metadata.get('separator', ' '))}]"
    left = "  " + ", ".join([*short, name]) + kind
    wrapped = textwrap.wrap(note, _WIDTH, break_on_hyphens=False)
    indent = " " * (_LEFT + 2)
    if len(left) > _LEFT:
        return [left, *(indent + line for line in wrapped)]
    return [f"{left:<{_LEFT + 2}}{wrapped[0]}", *(indent + line for line in wrapped[1:])]


def _typed(value: Any, separator: str) -> str:
    """Return a default as a person would type it."""
    if isinstance(value, tuple):
        return separator.join(_typed(each, separator) for each in value)
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _notes(cls: type) -> dict[str, str]:
    """Return the descriptions of all fields in the source, including those of base classes."""
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

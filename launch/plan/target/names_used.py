"""The names that a Python module uses, and the modules that it may import, found by reading its source."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast  # takes milliseconds, and is needed only for scripts

BYTES_MOST = 2**21  # most bytes of a file that is read
LIBRARY = "library "  # prefix for the name of a library that ctypes or cffi loads
MPI_LIBRARY = re.compile(
    r"lib\S*mpi(?!r\.so)|libpmi|libmpt\.|libsma\.|libpetsc|libslepc|libHYPRE|libscalapack", re.IGNORECASE
)
NUMBER = re.compile(r"(LAUNCH_RANK|RANK|SLURM_PROCID|OMPI_COMM_WORLD_RANK|PMI_RANK|PMIX_RANK)")
_VARIABLE = re.compile(f"{NUMBER.pattern}|TF_CONFIG")


def tree_of(path: Path) -> ast.Module | None:
    """Parse a Python file; return None if it is too large or not Python."""
    import ast

    try:
        if path.stat().st_size <= BYTES_MOST:
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        pass  # the import itself will report it
    return None


def files_of(module: str, folders: Iterable[str]) -> list[Path]:
    """Return the files of a module and of the packages around it, in the first folder that has them."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return []
    for folder in folders:
        found = []
        for count in range(1, len(parts) + 1):
            place = Path(folder, *parts[:count])
            inner = next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)
            found += [inner] if inner else []
        if found:
            return found
    return []


_LOADS = ("CDLL", "PyDLL", "LoadLibrary", "dlopen", "find_library")  # functions of ctypes and cffi that load a library


def _mpi_library(called: str, value: object) -> str:
    """Return the MPI library that is loaded; empty if the library is not one of MPI."""
    name = os.path.basename(value) if isinstance(value, str) else ""
    name = f"lib{name}" if called == "find_library" else name
    return name if MPI_LIBRARY.match(name) else ""


def names_in(tree: ast.Module, package: str) -> tuple[set[str], set[str]]:
    """Return the dotted names in a module that begin with an import, its texts that may name a variable, and the
    modules that it may import."""
    import ast

    bound: dict[str, str] = {}
    uses, imported, chains = set[str](), set[str](), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                uses.add(each.name)
                imported.add(each.name)
                bound[each.asname or each.name.partition(".")[0]] = (
                    each.name if each.asname else each.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            if node.level and not package:
                continue  # Python refuses it
            outer = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*outer, *([node.module] if node.module else [])])
            for each in node.names:
                whole = f"{base}.{each.name}" if base else each.name
                uses.add(whole)
                imported |= {base, whole} - {""}
                bound[each.asname or each.name] = whole
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _VARIABLE.fullmatch(node.value):
            uses.add(node.value)
        elif isinstance(node, ast.Attribute):
            chains.append(node)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                uses.add(node.args[0].value)
                imported.add(node.args[0].value)
            elif called in _LOADS and (library := _mpi_library(called, node.args[0].value)):
                uses.add(LIBRARY + library)
    for node in chains:
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in bound:
            uses.add(".".join([bound[node.id], *reversed(parts)]))
    return uses, imported

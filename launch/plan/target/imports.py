"""The packages that a script in Python imports, and which of them are not installed, found without running it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

from launch import USERS_PATH
from launch.plan.target.names_used import names_in, tree_of

_KERAS = "tensorflow.keras"


def anywhere(script: str) -> set[str]:
    """Return the packages that a script imports, also within functions; ``tensorflow.keras`` counts as ``keras``."""
    tree = tree_of(Path(script))
    if tree is None:
        return set()
    used, _ = names_in(tree, "")
    return {"keras" if name.startswith(_KERAS) else name.partition(".")[0] for name in used}


def missing(script: str) -> list[str]:
    """Return the packages that a script imports at once and that this Python does not find, in their order.

    Only statements at the top of the script count: one within ``try``, ``if`` or a function may never be executed, or
    may have an alternative. What follows a call or a change of ``sys.path`` does not count either, as other folders may
    be searched then.
    """
    import ast

    tree = tree_of(Path(script))
    names = list[str]()
    for node in tree.body if tree else ():
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and any(
            isinstance(part, ast.Call) or isinstance(part, ast.Attribute) and part.attr == "path"
            for part in ast.walk(node)
        ):
            break
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.append(node.module)
    folders = [os.path.dirname(os.path.realpath(script)), *USERS_PATH]
    return [name for name in dict.fromkeys(name.partition(".")[0] for name in names) if not _is_here(name, folders)]


def _is_here(package: str, folders: list[str]) -> bool:
    if package in sys.stdlib_module_names or package in ("rankloop", "launch", "profiling", "workloads"):
        return True  # the named ones come with the toolkit
    try:
        return bool(importlib.machinery.PathFinder.find_spec(package, folders) or importlib.util.find_spec(package))
    except (ImportError, ValueError):  # a finder of another package that fails, or a module without a spec
        return True

"""Finds modules as ``python -m`` does from here, and which of them are workloads. The modules themselves are not
run."""

import contextlib
import importlib
import importlib.util
import os
import shlex
import shutil
import sys
import types
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

from launch import HOME, PACKAGES, USERS_PATH, add_users_workloads
from launch.errors import Refusal, near, nearest
from launch.plan.target import python_code

TRAINER = "workloads.training.train"
"""The module that trains workloads. The launcher knows only its name."""


MAIN = "__main__.py"
"""The file that Python runs if it is given a folder."""


class NoSuchModule(Refusal):
    """The name is not that of a module; it may be a program's."""


def known() -> list[str]:
    """Return the workloads that come with the toolkit."""
    package = Path(HOME, TRAINER.partition(".")[0])
    return sorted(f"{package.name}.{path.parent.name}" for path in package.glob("*/__init__.py") if is_workload(path))


def is_workload(module: Path) -> bool:
    """Return whether a Python file defines what a workload has. Nothing is imported."""
    return _defines_workload(
        python_code.refusing_bad_code(module, lambda: SourceFileLoader("_", str(module)).get_code("_"))
    )


def _defines_workload(code: types.CodeType) -> bool:
    """Return whether a class Config and a function build are defined at the top of a module. Nothing is imported."""
    return {"Config", "build"} <= {each.co_name for each in code.co_consts if isinstance(each, types.CodeType)}


def broken(name: str, error: Exception) -> str:
    """Return the message about a module that cannot be imported."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"cannot import {name} ({said}): fix it, then try: python -c 'import {name}'"


def source_of(name: str, verbs: Iterable[str] = ()) -> Path:
    """Return the file that would run for a module name: that of a workload's module, or of a package's __main__."""
    parent = name.rpartition(".")[0]
    try:
        with users_modules():
            spec = importlib.util.find_spec(name) if _has_package(name) else None
            _refuse_two(name)
    except Refusal:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise Refusal(broken(parent, error)) from None
        spec = None
    except (ValueError, ImportError) as error:
        raise Refusal(
            f"cannot find {name!r} ({error}): give a module such as workloads.cfd_resnet, or the path of a script"
        ) from None
    except Exception as error:
        raise Refusal(broken(parent, error)) from error
    if spec is None:
        raise NoSuchModule(
            f"there is no workload or module {name!r}, nor a program of that name on PATH (looked in "
            f"{os.getcwd()} and the packages): "
            + (
                near(name, [*known(), *verbs])
                or f"give the path of a program, a module, or one of {', '.join(known())}"
            )
        )
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise Refusal(f"{name!r} is not a module that can be run: {_or_program(name)}")
    source = Path(spec.origin)
    if spec.submodule_search_locations and not is_workload(source):
        main = source.with_name(MAIN)
        if not main.is_file():
            raise Refusal(f"{name!r} is a package without a __main__, so there is nothing to run: {_or_program(name)}")
        return main
    return source


@contextlib.contextmanager
def users_modules() -> Iterator[None]:
    """Look for modules as ``python -m`` does, in the working directory first. Use it only for the user's modules, as a
    file there may have the name of a module that the launcher has yet to import."""
    before, here = sys.path[:], os.getcwd()
    sys.path[:] = [here, *USERS_PATH, *before]
    add_users_workloads()
    try:
        yield
    finally:
        sys.path[:] = before if here in before else [*before, here]  # for modules that they import later


def _has_package(name: str) -> bool:
    """Return whether a module's name begins with that of a package. Only packages are imported: for the name run.sh, a
    script run.py must not be run."""
    parent = name.rpartition(".")[0]
    if not parent:
        return True
    if not _has_package(parent):
        return False
    spec = importlib.util.find_spec(parent)  # imports the packages that this one is in
    return spec is None or spec.submodule_search_locations is not None


def _or_program(name: str) -> str:
    """Return suggestions for what the name of a module that cannot be run may have meant."""
    program = shutil.which(name)
    return f"{shlex.join(['--', name])} runs the program {program}" if program else nearest(name, known())


def _refuse_two(name: str) -> None:
    package, _, inner = name.partition(".")
    if package != TRAINER.partition(".")[0] or not inner:
        return
    specs = [PathFinder.find_spec(name, [folder]) for folder in sys.modules[package].__path__]
    files = [spec.origin for spec in specs if spec is not None and spec.origin]
    if len(files) > 1:
        raise Refusal(f"{name} is both one of the toolkit's workloads and {files[1]}: rename yours")


def main_of(name: str) -> str:
    """Return the file that ``python FOLDER`` runs for a folder that is not a package; for anything else, the name
    itself."""
    main = os.path.join(name, MAIN)
    package = os.path.isfile(os.path.join(name, "__init__.py"))  # runs as a module, as its imports may be relative
    return main if name and not package and os.path.isfile(main) else name


def of_path(name: str) -> tuple[str, str]:
    """Return the name of the module of a file that only defines a workload, and the folder in which the module is
    found, if that is not this one; for any other name, what was given.

    Raises
    ------
    Refusal
        If such a file cannot be imported.
    """
    path = Path(name)
    if not (name.endswith(".py") and path.is_file() and _only_defines_workload(path)):
        return name, ""
    whole, here = path.resolve(), Path.cwd().resolve()
    folder = here
    if here not in whole.parents:
        folder = whole.parent
        while (folder / "__init__.py").is_file() and folder != folder.parent:
            folder = folder.parent
    parts = os.path.relpath(whole, folder).removesuffix(".py").removesuffix("/__init__").split("/")
    if bad := next((part for part in parts if not part.isidentifier()), None):
        raise Refusal(
            f"{name} is a workload, which is imported by its name, and {bad!r} cannot be one: rename it, with "
            "letters, digits and _"
        )
    if folder == here:
        return ".".join(parts), ""
    taken = [place for place in (here / parts[0], here / f"{parts[0]}.py") if place.exists()]
    if taken or parts[0] in {*sys.stdlib_module_names, *PACKAGES}:
        raise Refusal(
            f"{name} is a workload, and its module would have the name of {taken[0] if taken else 'another module'}: "
            + (f"cd {folder}" if taken else "rename it")
        )
    if str(folder) not in USERS_PATH:
        USERS_PATH.insert(0, str(folder))
    return ".".join(parts), str(folder)


def _only_defines_workload(path: Path) -> bool:
    """Return whether a file is a workload and does nothing when it is run. A file that does something is a program,
    whatever names its classes and functions have."""
    try:
        if os.stat(path).st_size > 2**24 or not _defines_workload(python_code.python_code(path)):
            return False
    except Refusal:
        return False  # reported once it is clear that it is meant as a script
    import ast

    tree = ast.parse(path.read_bytes())
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    imported = {(each.asname or each.name).partition(".")[0] for node in imports for each in node.names}
    own = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}

    def names(node: ast.AST) -> set[str]:
        return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}

    def does_something(node: ast.AST) -> bool:
        """Return whether a statement does more than define or prepare, as ``log = logging.getLogger()`` and
        ``sys.path.append("lib")`` do, and imports that may fail."""
        if (
            isinstance(node, (ast.For, ast.While, ast.With))
            or isinstance(node, ast.If)
            and "__name__" in names(node.test)
        ):
            return True
        if isinstance(node, (ast.If, ast.Try, ast.ExceptHandler)):
            return any(map(does_something, ast.iter_child_nodes(node)))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            return bool(own & names(node)) or not imported & names(node.value.func)
        calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
        return isinstance(node, (ast.Assign, ast.AnnAssign)) and any("build" in names(call) for call in calls)

    return not any(map(does_something, tree.body))

"""What is to be run: a workload module, any other module, or a script."""

import contextlib
import dataclasses
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any, Literal

from launch import HOME, USERS_PATH, add_users_workloads
from launch.errors import Refusal, nearest
from launch.plan import options, placeholders

TRAINER = "workloads.training.train"
"""The module that trains workloads: to the launcher only a name."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the ranks run.

    Parameters
    ----------
    kind : "workload", "module" or "script"
        A workload has a Config and a build function, and is trained; the others are run as they are.
    name : str
        Module name or path, as given.
    arguments : tuple of str
        What stood behind it.
    config : object
        Of a workload: an instance of its Config, made from the arguments.
    """

    kind: Literal["workload", "module", "script"]
    name: str
    arguments: tuple[str, ...] = ()
    config: Any = None

    @property
    def short_name(self) -> str:
        """A word for run and job names."""
        return Path(self.name).stem if self.kind == "script" else self.name.rpartition(".")[2]

    def at(self, values: Mapping[str, str], known: Mapping[str, str]) -> "Target":
        """What is run at a point of a study.

        Parameters
        ----------
        values : mapping of str to str
            Axis -> value, without ``nodes``. A workload takes them as its options, but for ``seed``, which is the job's; what
            it does not take is refused as by `find`. In the arguments of any other program a value takes the place of its
            name in braces; without such a place it is the option ``--NAME=VALUE``.
        known : mapping of str to str
            What else of the run, ``nodes`` for one, takes the place of its name in braces, and is no option.
        """
        if self.kind == "workload":
            words = options.words({name: value for name, value in values.items() if name != "seed"})
            return _given(self.kind, self.name, (*self.arguments, *words)) if words else self
        arguments, used = placeholders.fill(self.arguments, {**known, **values})
        place = options.end_of_options(self.arguments)
        arguments[place:place] = options.words({name: value for name, value in values.items() if name not in used})
        return dataclasses.replace(self, arguments=tuple(arguments))


def find(name: str, arguments: Sequence[str], verbs: Iterable[str] = ()) -> Target:
    """Find what is to be run, and read its options.

    Parameters
    ----------
    name : str
        A module that can be imported from here, or the path of a script.
    arguments : sequence of str
        Its options.
    verbs : iterable of str
        Words that may have been meant as well where there is no such thing.

    Raises
    ------
    Refusal
        If there is no such thing, it cannot be run, or an option of a workload is not known or has a wrong value.
    """
    name = _module_of(name)
    what = kind(name, verbs)
    return _given(what, str(Path(name).absolute()) if what == "script" else name, tuple(arguments))


def _given(what: Literal["workload", "module", "script"], name: str, arguments: tuple[str, ...]) -> Target:
    config = options.parse(config_class(name), arguments, name) if what == "workload" else None
    return Target(what, name, arguments, config)


def kind(name: str, verbs: Iterable[str] = ()) -> Literal["workload", "module", "script"]:
    """What a name stands for; arguments and refusals are those of `find`."""
    name = _module_of(name)
    if name.endswith(".py") or "/" in name:
        if not Path(name).is_file():
            raise Refusal(
                f"there is no script {name!r}: give a path from here, or a module such as workloads.cfd_resnet"
            )
        _script(Path(name))
        return "script"
    return "workload" if _is_workload(_source(name, verbs)) else "module"


def _module_of(name: str) -> str:
    """The name of the module that a path stands for, where the file only defines a workload; else what was given.

    Raises
    ------
    Refusal
        If such a file cannot be imported from here.
    """
    path = Path(name)
    if not (name.endswith(".py") and path.is_file() and _defines_workload(_script(path)) and _only_defines(path)):
        return name
    inner = os.path.relpath(path.resolve(), Path.cwd().resolve())
    parts = inner.removesuffix(".py").removesuffix("/__init__").split("/")
    if not all(part.isidentifier() for part in parts):
        raise Refusal(
            f"{name} is a workload, which is started by its module's name from its own folder: cd {path.parent}"
        )
    return ".".join(parts)


def _only_defines(source: Path) -> bool:
    """Whether a file does nothing when it is run: one that does is a program, whatever it calls its classes and functions."""
    import ast

    does = (ast.If, ast.For, ast.While, ast.With, ast.Try)
    body = ast.parse(source.read_bytes()).body
    return not any(isinstance(node, does) or isinstance(getattr(node, "value", None), ast.Call) for node in body)


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether the help of the first word is wanted; with further words, -h may mean another thing to a program."""
    asked = {"-h", "--help"} & set(words[1:])
    return bool(asked) and (len(words) == 2 or words[0].endswith(".toml") or kind(words[0]) == "workload")


def config_class(name: str) -> type:
    """The Config of a workload.

    Raises
    ------
    Refusal
        If its module cannot be imported, or the Config is no dataclass.
    """
    try:
        with _users_modules():
            found = importlib.import_module(name).Config
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(_broken(name, error)) from error
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        raise Refusal(f"the Config of {name} is not a dataclass: put @dataclass(frozen=True, kw_only=True) before it")
    return found


def known() -> list[str]:
    """The workloads that come with the toolkit."""
    package = Path(HOME, TRAINER.partition(".")[0])
    return sorted(f"{package.name}.{path.parent.name}" for path in package.glob("*/__init__.py") if _is_workload(path))


def _is_workload(module: Path) -> bool:
    return _defines_workload(_code(module, lambda: SourceFileLoader("_", str(module)).get_code("_")))


def _script(path: Path) -> types.CodeType:
    return _code(path, lambda: compile(path.read_bytes(), str(path), "exec", dont_inherit=True))


def _defines_workload(code: types.CodeType) -> bool:
    """Whether a class Config and a function build are defined at the top of a module. Nothing is imported."""
    return {"Config", "build"} <= {each.co_name for each in code.co_consts if isinstance(each, types.CodeType)}


def _code(source: Path, read: Callable[[], Any]) -> types.CodeType:
    try:
        return read()
    except SyntaxError as error:
        raise Refusal(f"{source}, line {error.lineno}: {error.msg}; fix it and try again") from None
    except (ValueError, OSError) as error:  # null bytes; no permission
        raise Refusal(f"{source} cannot be read as Python ({error}): fix it and try again") from None


def _broken(name: str, error: Exception) -> str:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"cannot import {name} ({said}): fix it, then try: python -c 'import {name}'"


def _source(name: str, verbs: Iterable[str] = ()) -> Path:
    """The file that would run for a module name: that of a workload's module, or of a package's __main__."""
    parent = name.rpartition(".")[0]
    try:
        with _users_modules():
            spec = importlib.util.find_spec(name)  # imports the packages that the module is in
            _refuse_two(name)
    except Refusal:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise Refusal(_broken(parent, error)) from None
        spec = None
    except (ValueError, ImportError) as error:
        raise Refusal(
            f"cannot find {name!r} ({error}): give a module such as workloads.cfd_resnet, or the path of a script"
        ) from None
    except Exception as error:
        raise Refusal(_broken(parent, error)) from error
    if spec is None:
        raise Refusal(
            f"there is no workload or module {name!r} (looked in {os.getcwd()} and the packages): {nearest(name, [*known(), *verbs])}"
        )
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise Refusal(f"{name!r} is not a module that can be run: {nearest(name, known())}")
    source = Path(spec.origin)
    if spec.submodule_search_locations and not _is_workload(source):
        main = source.with_name("__main__.py")
        if not main.is_file():
            raise Refusal(
                f"{name!r} is a package without a __main__, so there is nothing to run: {nearest(name, known())}"
            )
        return main
    return source


@contextlib.contextmanager
def _users_modules() -> Iterator[None]:
    """Look for modules as ``python -m`` does, in the working directory first: only where the user's are meant, as a file there
    may have the name of any module that the launcher itself is yet to import."""
    before, here = sys.path[:], os.getcwd()
    sys.path[:] = [here, *USERS_PATH, *before]
    add_users_workloads()
    try:
        yield
    finally:
        sys.path[:] = before if here in before else [*before, here]  # for what they import later


def _refuse_two(name: str) -> None:
    package, _, inner = name.partition(".")
    if package != TRAINER.partition(".")[0] or not inner:
        return
    specs = [PathFinder.find_spec(name, [folder]) for folder in sys.modules[package].__path__]
    files = [spec.origin for spec in specs if spec is not None and spec.origin]
    if len(files) > 1:
        raise Refusal(f"{name} is both one of the toolkit's workloads and {files[1]}: rename yours")

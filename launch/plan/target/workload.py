"""What is to be run: a workload module, any other module, a script, or any program."""

import dataclasses
import importlib
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from launch.errors import Refusal
from launch.plan import options
from launch.plan.target import modules, placeholders
from launch.plan.target.modules import TRAINER, known

__all__ = ["TRAINER", "Kind", "Target", "asks_for_help", "config_class", "find", "kind", "known"]

Kind = Literal["workload", "module", "script", "program"]


class Target(NamedTuple):
    """What the ranks run.

    Parameters
    ----------
    kind : "workload", "module", "script" or "program"
        A workload has a Config and a build function, and is trained. The others are run as they are; modules and
        scripts run in the rank's own Python.
    name : str
        Name of a module; path of a script or program, or the name of a program on PATH.
    arguments : tuple of str
        The words after the name.
    config : object
        For a workload: an instance of its Config, made from the arguments.
    folder : str
        The folder in which the module is found, if that is neither the working directory nor on the path.
    cooperation : str or None
        What makes its ranks cooperate: see `launch.plan.target.cooperation`.
    """

    kind: Kind
    name: str
    arguments: tuple[str, ...] = ()
    config: Any = None
    folder: str = ""
    cooperation: str | None = None

    @property
    def short_name(self) -> str:
        """A word for run and job names."""
        if self.kind == "program":
            return os.path.basename(self.name)
        if self.kind != "script":
            return self.name.rpartition(".")[2]
        path = Path(self.name)
        return path.parent.name if path.name == modules.MAIN else path.stem

    @property
    def uses_mpi(self) -> bool:
        """Whether its ranks must be started as those of one MPI program."""
        if not self.cooperation:
            return False
        from launch.plan.target import cooperation

        return cooperation.uses_mpi(self.cooperation)

    def at(self, values: Mapping[str, str], known: Mapping[str, str]) -> "Target":
        """Return what is run at a point of a study.

        Parameters
        ----------
        values : mapping of str to str
            Axes and their values, without ``nodes``. A workload takes them as its options, except ``seed``, which
            belongs to the job; options that it does not have are refused as by `find`. In the arguments of any other
            program a value replaces its name in braces; if the name does not occur, the value becomes the option
            ``--NAME=VALUE``.
        known : mapping of str to str
            Other values of the run, such as ``nodes``, that replace their names in braces but never become options.
        """
        if self.kind == "workload":
            words = options.words({name: value for name, value in values.items() if name != "seed"})
            return self.given((*self.arguments, *words)) if words else self
        arguments, used = placeholders.fill(self.arguments, {**known, **values})
        place = options.end_of_options(self.arguments)
        arguments[place:place] = options.words({name: value for name, value in values.items() if name not in used})
        return self._replace(arguments=tuple(arguments))

    def given(self, words: Sequence[str]) -> "Target":
        """Return the same target with other arguments."""
        arguments = tuple(words)
        return self._replace(arguments=arguments, config=_config(self.kind, self.name, arguments))


def find(name: str, arguments: Sequence[str], verbs: Iterable[str] = (), contained: bool = False) -> Target:
    """Find what is to be run, and read its options.

    Parameters
    ----------
    name : str
        A module that can be imported from here, the path of a script or program, or the name of a program on PATH.
        ``--`` if the first argument is a program, and ``-m`` if it is a module.
    arguments : sequence of str
        The words after the name: the options of a workload, or the arguments of anything else.
    verbs : iterable of str
        Words that may have been meant if there is no such thing.
    contained : bool
        Whether it runs in a container, which may have programs that do not exist here.

    Raises
    ------
    Refusal
        If there is no such thing, it cannot be run, or an option of a workload is not known or has a wrong value.
    """
    words = tuple(arguments)
    if name == "--":
        if not words:
            raise Refusal("nothing follows --: give a program and its arguments")
        name, *words = words
        found, what, folder = name, _program(name, contained), ""
    elif name == "-m":
        if not words:
            raise Refusal("nothing follows -m: give a module and its arguments")
        name, *words = words
        found, what, folder = name, _kind_of_module(name, verbs), ""
    else:
        name = modules.main_of(name)
        found, folder = modules.of_path(name)
        what = kind(name, verbs, contained)
    if what == "script" or what == "program" and ("/" in found or _is_path(found, contained)):
        found = str(Path(found).absolute())
    words = tuple(words)
    cooperation = None if contained and what == "program" and "/" not in found else _cooperation(what, found, words)
    return Target(what, found, words, _config(what, found, words), folder, cooperation)


def _config(what: Kind, name: str, arguments: tuple[str, ...]) -> Any:
    return options.parse(config_class(name), arguments, name) if what == "workload" else None


def _cooperation(what: Kind, name: str, arguments: tuple[str, ...]) -> str | None:
    if what == "workload":
        return None
    from launch.plan.target import cooperation

    if what == "program":
        return cooperation.of_program(name, arguments)
    return cooperation.of_script(name) if what == "script" else cooperation.of_module(name, modules.source_of(name))


def kind(name: str, verbs: Iterable[str] = (), contained: bool = False) -> Kind:
    """Return what a name stands for; arguments and refusals are those of `find`."""
    name = modules.main_of(name)
    if name.endswith((".py", ".ipynb")) or "/" in name:
        if contained and not os.path.exists(name):
            return "program"
        return "workload" if modules.of_path(name)[0] != name else _kind_of_file(name)
    is_file = os.path.isfile(name)
    try:
        if not (is_file and "." in name):  # run.sh is a file, and not the module sh of a package run
            return _kind_of_module(name, verbs)
    except modules.NoSuchModule:
        if not (is_file or name and (shutil.which(name) or contained)):
            raise
    # As a shell would find it, or a file here that was given without a folder.
    return "program" if shutil.which(name) or contained else _kind_of_file(name)


def _program(name: str, contained: bool) -> Literal["program"]:
    """Make sure that the program exists."""
    if contained and not _is_path(name, contained):
        return "program"
    if "/" in name or not shutil.which(name):
        if "/" not in name and not os.path.lexists(name):
            beside = os.path.join(os.path.dirname(sys.executable), name)
            if os.path.isfile(beside):  # pip has put it there, and the environment is not active
                raise Refusal(
                    f"there is no program {name!r} on PATH, but one beside the Python that runs this: give {beside}, "
                    "or activate its environment first"
                )
            raise Refusal(
                f"there is no program {name!r} on PATH: install it, load its module, or give its path; a module or a "
                "workload stands without -- before it"
            )
        _kind_of_file(name, as_program=True)
    return "program"


def _is_path(name: str, contained: bool) -> bool:
    """Return whether a word is the path of a file here, rather than the name of a program on PATH."""
    return os.path.isfile(name) and ("/" in name or not contained and shutil.which(name) is None)


def _kind_of_file(name: str, as_program: bool = False) -> Kind:
    from launch.plan.target import executable  # reads what a file is, and a workload is a module

    return executable.kind(name, as_program)


def _kind_of_module(name: str, verbs: Iterable[str]) -> Literal["workload", "module"]:
    return "workload" if modules.is_workload(modules.source_of(name, verbs)) else "module"


def asks_for_help(words: Sequence[str]) -> bool:
    """Return whether the help of the first word is wanted. After further words, -h may mean something else to a
    program."""
    if words[:1] == ["--"]:
        return False
    if words[:1] == ["-m"]:
        words = words[1:]
    asked = {"-h", "--help"} & set(words[1:])
    return bool(asked) and (len(words) == 2 or words[0].endswith(".toml") or kind(words[0]) == "workload")


def config_class(name: str) -> type:
    """Return the Config of a workload.

    Raises
    ------
    Refusal
        If its module cannot be imported, or the Config is not a dataclass.
    """
    try:
        with modules.users_modules():
            found = importlib.import_module(modules.of_path(name)[0]).Config
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(modules.broken(name, error)) from error
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        raise Refusal(f"the Config of {name} is not a dataclass: put @dataclass(frozen=True, kw_only=True) before it")
    return found

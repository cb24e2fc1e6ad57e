"""Finds what makes the ranks of a program cooperate, as far as that can be seen before it starts. Nothing is imported
or run.

For Python, this is what a script and the user's own modules that it imports use. For a binary, it is the libraries that
it needs. The answer is a text, such as "mpi4py, torch.distributed". It is empty if nothing is found, None if it cannot
be known, and `BY_NUMBER` for a program that only asks which rank it is.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from launch import HOME, USERS_PATH
from launch.plan.plan import BY_NUMBER
from launch.plan.target import elf, executable

if TYPE_CHECKING:
    pass  # takes milliseconds, and is needed only for scripts
from launch.plan.target.names_used import BYTES_MOST, LIBRARY, MPI_LIBRARY, NUMBER, files_of, names_in, tree_of

_FILES_MOST = 300  # most modules of the user that are read

# The means by which ranks meet, and their names in Python; not what works only within a process, or only asks for the
# rank.
_MEANS = {
    "rankloop.keras": r"rankloop\.keras\b",
    "horovod": r"horovod\b",
    "mpi4py": r"mpi4py\b",
    "mpi4jax": r"mpi4jax\b",
    "mpi4py_fft": r"mpi4py_fft\b",
    "numba_mpi": r"numba_mpi\b",
    "pylops_mpi": r"pylops_mpi\b",
    "shenfun": r"shenfun\b",
    "dedalus": r"dedalus\b",
    "petsc4py": r"petsc4py\b",
    "slepc4py": r"slepc4py\b",
    "dolfinx": r"dolfinx\b",
    "firedrake": r"firedrake\b",
    "dask_mpi": r"dask_mpi\b",
    "xgboost.collective": r"xgboost\.(collective|rabit)\b",
    "torch.distributed": r"torch\.(distributed\.(?!is_available|is_initialized|get_rank|get_world_size)\w"
    r"|nn\.parallel\.(distributed\.)?DistributedDataParallel)",
    "accelerate": r"accelerate\b",
    "lightning": r"(lightning|pytorch_lightning|lightning_fabric)\b",
    "deepspeed": r"deepspeed\b",
    "colossalai": r"colossalai\b",
    "composer": r"composer\b",
    "transformers.Trainer": r"transformers\.(Seq2Seq)?Trainer\b",
    "ignite.distributed": r"ignite\.distributed\b",
    "jax.distributed": r"jax\.(distributed\.initialize|experimental\.multihost_utils)\b",
    "keras.distribution": r"(.*\.)?keras\.distribution\.initialize\b",
    "tf.distribute": r"tensorflow\.(compat\.v[12]\.)?distribute\.(experimental\.)?"
    r"(MultiWorkerMirrored|ParameterServer|CollectiveAllReduce|coordinator|cluster_resolver)|tensorflow\.experimental\.dtensor\.initialize|TF_CONFIG$",
}
_BY_MPI = {
    "mpi4py", "mpi4jax", "mpi4py_fft", "numba_mpi", "pylops_mpi", "shenfun", "dedalus", "petsc4py", "slepc4py",
    "dolfinx", "firedrake", "dask_mpi",
}  # fmt: skip
_NUMBER_IN_BINARY = (b"\0RANK\0", b"LAUNCH_RANK\0", b"SLURM_PROCID\0")
_STARTS_OTHERS = re.compile(
    r"subprocess\.(run|call|check_call|check_output|Popen)\b|os\.(system|popen|exec|spawn|posix_spawn)|runpy\.run_"
)
_PYTHON = re.compile(r"(python|pypy)[0-9.]*$")
_SHELL = re.compile(r"(ba|da|k|mk|z|c|tc|fi|xon)?sh$")


def of_script(path: str) -> str | None:
    """Return the answer for a script in Python."""
    return _of_python([Path(path)], [os.path.dirname(os.path.realpath(path)), *_users_folders()])


def of_module(name: str, source: Path) -> str | None:
    """Return the answer for a module that is run by ``-m``, if its source was found."""
    top = name.partition(".")[0]
    root = source
    while root.name != top and root.stem != top and root != root.parent:
        root = root.parent
    if source.name == "__main__.py":
        name += ".__main__"
    return _of_python([source], [os.getcwd(), *_users_folders()], {top: str(root.parent)}, name)


def of_program(name: str, arguments: Sequence[str]) -> str | None:
    """Return the answer for a program, from its path or name on PATH and its arguments, which may be another program
    that it starts."""
    if _PYTHON.match(os.path.basename(name)):
        return _of_command_of_python(arguments)
    found = _of_file(name)
    if found == "" and shutil.which(os.path.basename(name)) in (
        name,
        shutil.which(name),
    ):  # a program of the system: env, numactl ...
        inner = [_of_file(word) for word in arguments if os.path.isfile(word)]
        if inner or _SHELL.match(os.path.basename(name)):
            return ", ".join(dict.fromkeys(filter(None, inner))) or None
    return found


def script_of(name: str, arguments: Sequence[str]) -> str | None:
    """Return the first argument of a Python or a shell that is not an option, which is the script that it reads unless
    an option says what to run; None for any other program."""
    if not any(known.match(os.path.basename(name)) for known in (_PYTHON, _SHELL)):
        return None
    place = next((place for place, word in enumerate(arguments) if not word.startswith("-")), None)
    return None if place is None or {"-c", "-m"} & set(arguments[:place]) else arguments[place]


def uses_mpi(found: str | None) -> bool:
    """Return whether MPI was found, so that the ranks must be started as those of one MPI program."""
    return any(part in _BY_MPI or part.startswith("MPI ") for part in (found or "").split(", "))


def _of_file(name: str) -> str | None:
    path = shutil.which(name) or name
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
        if not head.startswith(elf.MAGIC):
            line = executable.first_line(head)
            if name.endswith(".py") or line and _PYTHON.match(os.path.basename(executable.interpreter(line))):
                return of_script(path)
            return BY_NUMBER if _asks_for_number(path) else None
        needed = elf.read(path).needed
        if library := next((library for library in needed if MPI_LIBRARY.match(library)), None):
            return f"MPI ({library})"
        if not needed and elf.holds(path, b"MPI_Init"):
            return "MPI (linked statically)"
        return BY_NUMBER if any(elf.holds(path, name) for name in _NUMBER_IN_BINARY) else ""
    except (OSError, ValueError):
        return None


def _asks_for_number(path: str) -> bool:
    """Return whether a script, in shell or any other language, contains the name of a variable that holds the rank's
    number."""
    with open(path, "rb") as file:
        return re.search(rb"\b" + NUMBER.pattern.encode() + rb"\b", file.read(BYTES_MOST)) is not None


def _of_command_of_python(arguments: Sequence[str]) -> str | None:
    """Return the answer for ``python OPTIONS SCRIPT`` and ``python OPTIONS -m MODULE``."""
    words = iter(arguments)
    for word in words:
        if word in ("-X", "-W"):
            next(words, None)
        elif word == "-m":
            name = next(words, "")
            if found := _means([name]):  # as python -m mpi4py train.py
                return ", ".join(found)
            files = files_of(f"{name}.__main__", [os.getcwd(), *_users_folders()])
            return of_module(name, files[-1]) if files else None
        elif not word.startswith("-"):
            return of_script(word) if os.path.isfile(word) else None
    return None


def _users_folders() -> list[str]:
    """Return the folders of the path that hold the user's own modules: all except those of Python and those with
    installed packages."""
    others = tuple(
        os.path.join(os.path.realpath(place), "") for place in {sys.prefix, sys.base_prefix, sys.exec_prefix, HOME}
    )
    folders = (os.path.realpath(folder) for folder in sys.path if folder)
    system = ("/usr/lib/python", "/usr/lib64/python", "/usr/local/lib/python")
    own = [folder for folder in folders if not f"{folder}/".startswith((*others, *system)) and os.path.isdir(folder)]
    return [
        folder
        for folder in dict.fromkeys([*USERS_PATH, *own])
        if os.path.isdir(folder) and not any(name.endswith(".dist-info") for name in os.listdir(folder))
    ]


def _of_python(
    start: list[Path], folders: Sequence[str], own: dict[str, str] | None = None, name: str = ""
) -> str | None:
    """Return what some files use, and in turn the user's modules that they import."""
    own = own or {}
    todo, seen, uses = [(path, name) for path in start], set(start), set[str]()
    while todo and len(seen) < _FILES_MOST:
        path, module = todo.pop()
        tree = tree_of(path)
        if tree is None:
            continue
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        used, imported = names_in(tree, package)
        uses |= used
        for inner in sorted(imported):
            top = inner.partition(".")[0]
            if top == "rankloop":  # it knows of ranks wherever it lies, which shows nothing about the program
                continue
            for file in files_of(inner, [own[top]] if top in own else folders):
                if file not in seen:
                    seen.add(file)
                    todo.append((file, inner))
    # A file beside the script with the name of a package is imported instead of the package.
    taken = {name.partition(".")[0] for name in uses if files_of(name.partition(".")[0], folders[:1])}
    uses = {name for name in uses if name.partition(".")[0] not in taken}
    if found := _means(uses):
        return ", ".join(found)
    if any(map(NUMBER.fullmatch, uses)) or "rankloop.rank" in uses:
        return BY_NUMBER
    return None if any(map(_STARTS_OTHERS.match, uses)) else ""


def _means(uses: Iterable[str]) -> list[str]:
    """Return the means by which ranks meet that use these names."""
    uses = sorted(uses)
    loaded = [f"MPI ({name.removeprefix(LIBRARY)})" for name in uses if name.startswith(LIBRARY)]
    return [means for means, form in _MEANS.items() if any(re.match(form, name) for name in uses)] + loaded

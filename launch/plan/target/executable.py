"""Checks a file that is to be run: whether it is Python for our interpreter or a program that the kernel starts, and
what keeps it from running."""

import os
import shlex
import shutil
import stat
import sys
from pathlib import Path
from typing import Literal

from launch.errors import Refusal
from launch.plan.target import elf
from launch.plan.target.python_code import python_code

_HEAD = 4096  # bytes that show what a file is
_SCRIPT_MOST = 2**24  # most bytes of a script; larger files are data

_COMPILED = (".c", ".cc", ".cpp", ".cu", ".cxx", ".f", ".f90", ".f95", ".f03", ".f08", ".h", ".java", ".rs")
_ARCHIVE = "a zip archive"
_OTHERS = {
    b"MZ": "a program for Windows",
    b"\xcf\xfa\xed\xfe": "a program for macOS",
    b"\xca\xfe\xba\xbe": "a program for macOS or a Java class",
    b"PK\x03\x04": _ARCHIVE,
    b"\x1f\x8b": "a compressed file",
    b"\xfd7zXZ": "a compressed file",
    b"BZh": "a compressed file",
}


def kind(name: str, as_program: bool = False) -> Literal["script", "program"]:
    """Find out whether a file is a script for this Python or a program.

    Parameters
    ----------
    name : str
        Path of the file, as given.
    as_program : bool
        Whether to start it as it is, by its own first line, even if it is Python.

    Raises
    ------
    Refusal
        If there is no such file, or it cannot be run.
    """
    head = _head(name)
    if head.startswith(elf.MAGIC):
        _refuse_libraries(name)
        return _program(name)
    line = first_line(head)
    if not name.endswith(".py"):
        if other := next((what for magic, what in _OTHERS.items() if head.startswith(magic)), None):
            advice = (
                f"{shlex.join(['--', 'python', name])} does if it is an application in Python"
                if other == _ARCHIVE
                else "give a program that was built for it"
            )
            raise Refusal(f"{name} is {other}, which Linux does not run: {advice}")
        if head and line is not None and not _is_python(line):
            return _program(name)
    if head and line is None and name.lower().endswith(_COMPILED):
        raise Refusal(f"{name} is source code: compile it, and give the program that results")
    if not head or as_program:  # it can be executed, but not read
        if head and line is None:
            raise Refusal(
                f"{name} has no first line that says what runs it, such as #!/usr/bin/env python3: "
                + ("leave out --, and it is run by this Python" if name.endswith(".py") else "write one")
            )
        return _program(name, ", or leave out --, and it is run by this Python")
    if why := _not_python(name):
        if line is None:
            if name.endswith(".py"):
                raise Refusal(why)
            raise Refusal(
                f"{name} is neither a binary nor Python, and has no first line that says what runs it: write one, "
                "such as #!/bin/bash"
            )
        if "null bytes" in why and os.access(name, os.X_OK):  # a Python archive after such a line
            return "program"
        raise Refusal(f"{why}; its first line names {line}: {shlex.join(['--', name])} runs it by that")
    if line is None and not name.endswith(".py") and _is_only_data(name):
        raise Refusal(
            f"{name} has no statement that does anything as Python: give a program, or a definition in TOML (.toml)"
        )
    return "script"


def first_line(head: bytes) -> str | None:
    """Return the command in the first line of a script (#!), or None."""
    if not head.startswith(b"#!"):
        return None
    return os.fsdecode(head[2:].partition(b"\n")[0]).strip(" \t")


def interpreter(line: str) -> str:
    """Return the program that a first line names; if that is env, the program that env finds on PATH."""
    words = line.split()
    if words and os.path.basename(words[0]) == "env":
        # -S and NAME=VALUE may come before it.
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word] or words
    return words[0] if words else ""


def other_python(name: str) -> str | None:
    """Return the first line of a script for this Python, if it names another Python, or gives it options or variables
    that a rank does not have; else None."""
    line = first_line(_head(name))
    if line is None:
        return None
    named = interpreter(line.rstrip("\r"))
    if any(word.startswith("-") and word not in ("-S", "-u") or "=" in word for word in line.split()[1:]):
        return line
    found = shutil.which(named)
    if os.path.basename(named) in ("python", "python3", f"python3.{sys.version_info[1]}") and line.split()[0] != named:
        return None  # env finds the Python of the environment, which is this one
    return None if found and os.path.realpath(found) == os.path.realpath(sys.executable) else line


def unrunnable(path: str) -> str | None:
    """Return why a program cannot run on this machine, in one line; None if no reason is known."""
    found = shutil.which(path)
    if found is None:
        return f"there is no program {path!r} on PATH: install it, load its module, or give its path"
    try:
        with open(found, "rb") as file:
            head = file.read(_HEAD)
        if head.startswith(elf.MAGIC):
            return _unloadable(path, elf.read(found))
    except (OSError, elf.NotElf):
        return None  # the kernel will say so
    line = first_line(head)
    if line is None:
        return None
    if line.endswith("\r"):
        return (
            f"the lines of {path} end in CR LF, as Windows writes them, so the kernel looks for "
            f"{interpreter(line) + chr(13)!r}: " + shlex.join(["sed", "-i", r"s/\r$//", path])
        )
    if shutil.which(interpreter(line)) is None:
        return (
            f"{path} is to be run by {line!r}, its first line says, and that is not here: install it, or correct "
            f"the line"
        )
    return None


def _unloadable(path: str, header: elf.Elf) -> str | None:
    if not header.runs_here:
        return f"{path} is for {header.machine_name}, and this machine is {os.uname().machine}: build it for this one"
    if header.loader and not os.path.exists(header.loader):
        return f"{path} needs the loader {header.loader}, which is not here: build it for this system"
    return None


def _head(name: str) -> bytes:
    """Return the first bytes of a file that may be run; empty if it can be executed but not read."""
    if name.endswith(".ipynb"):
        script = shlex.quote(name)
        raise Refusal(
            f"{name} is a notebook: make a script of it (jupyter nbconvert --to script {script}) and launch that"
        )
    try:
        status = os.stat(name)
    except FileNotFoundError:
        if os.path.islink(name):
            raise Refusal(f"{name} is a link to {os.readlink(name)!r}, which is not there: correct the link") from None
        raise Refusal(
            f"there is no script or program {name!r}: give a path from here, a program on PATH, or a module such as "
            "workloads.cfd_resnet"
        ) from None
    except (OSError, ValueError) as error:
        raise Refusal(
            f"{name!r} cannot be run ({getattr(error, 'strerror', None) or error}): give another path"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        inner = "the program in it, or -m and the name of a module" if Path(name, "__main__.py").is_file() else "a file"
        raise Refusal(f"{name} is a folder: give {inner}")
    if not stat.S_ISREG(status.st_mode):
        raise Refusal(f"{name} is not a regular file (a pipe, a socket or a device): give a script or a program")
    if not status.st_size:
        if name.endswith(".py"):
            return b"\n"  # it does nothing, as under Python
        raise Refusal(f"{name} is empty: there is nothing to run")
    try:
        with open(name, "rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        if os.access(name, os.X_OK):
            return b""
        raise Refusal(f"{name} cannot be read ({error.strerror}): change its permissions") from None


def _program(name: str, instead: str = "") -> Literal["program"]:
    if not os.access(name, os.X_OK):
        if os.stat(name).st_mode & 0o111:
            raise Refusal(
                f"{name} cannot be executed: you may not, or its file system forbids it; change the permissions, "
                "or copy it elsewhere"
            )
        raise Refusal(f"{name} is not executable: {shlex.join(['chmod', '+x', name])}{instead}")
    return "program"


def _refuse_libraries(name: str) -> None:
    try:
        if not elf.read(name).is_program:
            raise Refusal(f"{name} is a library or an object file, not a program: give the program that uses it")
    except elf.NotElf as error:
        raise Refusal(f"{name} is a damaged binary ({error}): build or copy it again") from None
    except OSError as error:
        raise Refusal(f"{name} cannot be read ({error.strerror}): change its permissions") from None


def _is_python(line: str) -> bool:
    return os.path.basename(interpreter(line.rstrip("\r"))).startswith(("python", "pypy"))


def _is_only_data(name: str) -> bool:
    """Return whether a file in the syntax of Python has no statement that would do anything, as JSON, YAML and TOML may
    be."""
    import ast

    data = (
        ast.Module, ast.Expr, ast.Assign, ast.AnnAssign, ast.Constant, ast.Name, ast.Attribute, ast.Dict, ast.List,
        ast.Tuple, ast.Set, ast.UnaryOp, ast.expr_context, ast.unaryop,
    )  # fmt: skip
    return all(isinstance(node, data) for node in ast.walk(ast.parse(Path(name).read_bytes())))


def _not_python(name: str) -> str | None:
    """Return why a file is not a script for this Python, in one line; None if it is one."""
    if os.stat(name).st_size > _SCRIPT_MOST:
        return (
            f"{name} is too large for a script ({os.stat(name).st_size // 2**20} MiB): give the program that it "
            f"belongs to"
        )
    try:
        python_code(Path(name))
    except Refusal as refusal:
        return str(refusal)
    return None

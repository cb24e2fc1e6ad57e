"""Files that are to be run: which are Python for the rank, which programs, and which neither; and what keeps one from running here."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from launch.plan.target import elf, executable, workload

TRUE = Path(shutil.which("true") or "/bin/true").resolve()
needs_cc = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")


def make(folder: Path, name: str, content: str | bytes, mode: int = 0o755) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return str(path)


def of_machine(number: int) -> bytes:
    """A program of this machine's format that says it is for another."""
    content = bytearray(TRUE.read_bytes())
    content[18:20] = struct.pack("<H", number)
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "mode", "kind", "after_dashes"),
    [
        ("a.py", "print(1)", 0o644, "script", "no first line"),
        ("a.py", "#!/usr/bin/env python3\nprint(1)", 0o644, "script", "is not executable: chmod +x"),
        ("a.py", "#!/usr/bin/env python3\nprint(1)", 0o755, "script", "program"),
        ("a.py", "\ufeff#!/usr/bin/env python3\r\nprint(1)\r\n", 0o755, "script", "no first line"),
        ("tool", "#!/usr/bin/env -S python3 -u\nprint(1)", 0o755, "script", "program"),
        ("tool", "#!/opt/conda/bin/python\nprint(1)", 0o755, "script", "program"),
        ("tool", "print(1)", 0o644, "script", "no first line"),
        ("tool", "#!/usr/bin/env python2\nprint 1", 0o755, "runs it by that", "program"),
        ("zipped", b"#!/usr/bin/env python3\nPK\x03\x04\0\0\0", 0o755, "program", "program"),
        ("run.sh", "#!/bin/bash\necho", 0o755, "program", "program"),
        ("run.sh", "#!/bin/bash\necho", 0o644, "is not executable: chmod +x", "is not executable: chmod +x"),
        ("run.sh", "echo $RANK", 0o755, "has no first line that says what runs it", "no first line"),
        ("a.out", TRUE.read_bytes(), 0o755, "program", "program"),
        ("a.py", TRUE.read_bytes(), 0o755, "program", "program"),
        ("a.out", TRUE.read_bytes(), 0o644, "is not executable", "is not executable"),
        ("a.out", of_machine(183), 0o755, "program", "program"),
        ("a.out", TRUE.read_bytes()[:100], 0o755, "damaged binary", "damaged binary"),
        ("a.out", b"\x7fELF", 0o755, "damaged binary", "damaged binary"),
        ("a.exe", b"MZ\x90\0", 0o755, "a program for Windows", "a program for Windows"),
        ("a.c", "int main(void) { return 0; }", 0o644, "compile it", "compile it"),
        ("a.pyz", b"PK\x03\x04", 0o644, "-- python ", "-- python "),
        ("a.tgz", b"\x1f\x8b\x08", 0o644, "a compressed file", "a compressed file"),
        ("empty", "", 0o755, "is empty", "is empty"),
        ("empty.py", "", 0o644, "script", "no first line"),
        ("book.ipynb", '{"cells": []}', 0o644, "jupyter nbconvert --to script", "jupyter nbconvert --to script"),
        ("book.json", '{"cells": [1, -2.5, null], "nbformat": 4}', 0o644, "does anything as Python", "no first line"),
        ("config.yaml", "# of a study\nlr: 0.1\nnet: models.wide\n", 0o755, "does anything as Python", "no first line"),
        ("STUDY.TOML", "[job]\nnodes = [1, 2]\n", 0o644, "does anything as Python", "no first line"),
        ("deep.py", "(" * 10000 + ")" * 10000, 0o644, "deep.py", "no first line"),
    ],
)
def test_kinds(tmp_path: Path, name: str, content: str | bytes, mode: int, kind: str, after_dashes: str):
    path = make(tmp_path, name, content, mode)
    for as_program, expected in ((False, kind), (True, after_dashes)):
        try:
            assert executable.kind(path, as_program) == expected
        except Refusal as refusal:
            assert expected in str(refusal) and "\n" not in str(refusal)


def test_what_is_no_file_of_its_own(tmp_path: Path):
    make(tmp_path, "program", TRUE.read_bytes())
    (tmp_path / "linked").symlink_to("program")
    assert executable.kind(str(tmp_path / "linked")) == "program"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    make(tmp_path / "folder", "__main__.py", "")
    (tmp_path / "to nothing").symlink_to("none")
    (tmp_path / "round").symlink_to("round")
    with open(make(tmp_path, "sparse", ""), "wb") as file:
        file.truncate(2**40)
    for name, says in {
        "pipe": "not a regular file", "folder": "is a folder", "to nothing": "is a link to 'none'", "round": "symbolic links",
        "none": "there is no script or program", "program/x": "Not a directory", "sparse": "neither a binary nor Python",
        "x" * 300: "File name too long", "nu\0ll": "null",
    }.items():  # fmt: skip
        for as_program in (False, True):
            with pytest.raises(Refusal) as refusal:
                executable.kind(f"{tmp_path}/{name}", as_program)
            assert says in str(refusal.value) or as_program and "no first line" in str(refusal.value)


@needs_cc
def test_libraries_are_no_programs(tmp_path: Path):
    (tmp_path / "a.c").write_text("int main(void) { return 0; }")
    for words, kind in {
        ("-shared", "-fPIC"): None, ("-c",): None, (): "program", ("-no-pie",): "program", ("-static-pie",): "program", ("-static",): "program",
    }.items():  # fmt: skip
        if subprocess.run(["cc", "-o", "out", *words, "a.c"], cwd=tmp_path, capture_output=True).returncode:
            continue  # not every system has what is needed to link statically
        (tmp_path / "out").chmod(0o755)
        if kind:
            assert executable.kind(str(tmp_path / "out")) == kind
            assert elf.read(tmp_path / "out").needed == (() if "-static" in str(words) else ("libc.so.6",))
        else:
            with pytest.raises(Refusal, match="is a library or an object file"):
                executable.kind(str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (of_machine(183), "is for AArch64, and this machine is"),
        (TRUE.read_bytes().replace(b"/lib64/ld-linux", b"/lib64/no-linux"), "needs the loader"),
        ("#!/bin/bash\r\necho\r\n", "end in CR LF"),
        ("#!/usr/bin/env bash\r\necho\r\n", "end in CR LF"),
        ("#!/opt/none/perl -w\n", "is to be run by '/opt/none/perl -w'"),
        ("#!/usr/bin/env nothing-of-the-kind\n", "is to be run by '/usr/bin/env nothing-of-the-kind'"),
        ("#!/usr/bin/env -S A=1 bash -e\n", None),
        ("#! /bin/sh\n", None),
        (TRUE.read_bytes(), None),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the programs that are changed are those of x86-64")
def test_what_keeps_a_program_from_running_here(tmp_path: Path, content: str | bytes, says: str | None):
    why = executable.unrunnable(make(tmp_path, "program", content))
    assert (why is None) if says is None else says in str(why) and "\n" not in str(why)
    assert executable.unrunnable("true") is None
    assert "there is no program 'nothing-of-the-kind' on PATH" in str(executable.unrunnable("nothing-of-the-kind"))


def test_the_python_of_a_first_line(tmp_path: Path):
    for line, other in {
        f"#!{sys.executable}": False, "#!/usr/bin/env python3": False, "#!/usr/bin/env python": False, "# a comment": False,
        "#!/usr/bin/env -S python3 -u": False, "#!/usr/bin/env -S python3 -O": True, "#!/usr/bin/env -S A=1 python3": True,
        f"#!{sys.executable} -E": True, "#!/opt/none/bin/python": True, "#!/usr/bin/env pypy3": True, "#!/usr/bin/env -S uv run --script": True,
    }.items():  # fmt: skip
        assert (executable.other_python(make(tmp_path, "a.py", f"{line}\nprint(1)")) is not None) is other


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_damaged_binary_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, place: int, change: bytes):
    content = bytearray(TRUE.read_bytes())
    content[place : place + len(change)] = change
    path = make(tmp_path_factory.getbasetemp(), "damaged", bytes(content))
    try:
        assert isinstance(elf.read(path).needed, tuple)
    except elf.NotElf:
        pass


def test_a_name_that_is_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    for name in ("both", "only", "packaged"):
        make(tmp_path / "bin", name, "#!/bin/sh\n")
    make(tmp_path, "both.py", "print(1)")
    (tmp_path / "packaged").mkdir()
    make(tmp_path / "packaged", "__init__.py", "")
    make(tmp_path, "here", "#!/bin/sh\n")
    found = {
        ("both",): ("module", "both"), ("--", "both"): ("program", "both"), ("both.py",): ("script", f"{tmp_path}/both.py"),
        ("-m", "both"): ("module", "both"), ("only",): ("program", "only"), ("./bin/only",): ("program", f"{tmp_path}/bin/only"),
        ("here",): ("program", f"{tmp_path}/here"), ("--", "here"): ("program", f"{tmp_path}/here"),
    }  # fmt: skip
    for words, (kind, name) in found.items():
        target = workload.find(*words[:1], [*words[1:], "--", "-m", "x"])
        assert (target.kind, target.name, target.arguments) == (kind, name, ("--", "-m", "x"))
    for words, says in {
        ("packaged",): "-- packaged runs the program", ("--",): "nothing follows --", ("-m",): "nothing follows -m",
        ("--", "nothing"): "there is no program 'nothing' on PATH", ("-m", "only"): "there is no workload or module 'only'",
        ("-m", "./both.py"): "cannot find", ("--", "--"): "there is no program '--'", ("--", ""): "there is no program ''",
    }.items():  # fmt: skip
        with pytest.raises(Refusal) as refusal:
            workload.find(words[0], words[1:])
        assert says in str(refusal.value) or words == ("-m", "./both.py"), refusal.value


def test_a_program_of_an_environment_that_is_not_active_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path, "dp", "#!/bin/sh\n")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(Refusal, match=f"give {tmp_path / 'dp'}"):
        workload.find("--", ["dp", "train"])


def test_help_behind_dashes_is_the_programs():
    assert not workload.asks_for_help(["--", "true", "--help"])
    assert workload.asks_for_help(["-m", "workloads.mnist", "--lr=1", "--help"])
    assert not workload.asks_for_help(["-m", "json.tool", "--lr=1", "--help"])

"""What a terminal shows of a study and of all runs, and how little a file gets."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from launched import environment

from launch import START
from launch.screen import bar

PROGRAM = """
import time
import rankloop
for _ in rankloop.steps(range(12), examples=100):
    print("said by the program")
    time.sleep(0.1)
rankloop.result(loss=0.1)
"""
STUDY = ["--backend", "local", "--sample-hz", "0", "--independent", "--repeats", "2", "--name", "s"]


def on_a_terminal(folder: Path, *words: str, status: int = 0, **more: str) -> list[str]:
    """Run the command on a terminal of 100 columns, and return what it drew: pieces between which lines were taken
    away."""
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, START, *words], environment(TERM="xterm", **more))
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    seen = b""
    while True:
        try:
            seen += os.read(screen, 65536)
        except OSError:  # the other end is closed
            break
    os.close(screen)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status, seen.decode()
    return re.split(r"\x1b\[\d+A\r\x1b\[J", seen.decode().replace("\r\n", "\n"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(PROGRAM)
    return tmp_path


def test_a_study_is_one_live_table_and_watch_shows_all_runs(folder: Path):
    first, *frames, last = on_a_terminal(folder, *STUDY, "train.py")
    assert len(frames) > 3 and "0 of 2 runs have ended" in first
    running = [frame for frame in frames if re.search(r"\x1b\[34mn1-r2 +running .* examples/s", frame)]
    assert running and all(re.search(r"\x1b\[32mn1-r1 +done ", frame) for frame in running)
    assert any("1 of 2 runs have ended, 1 running" in frame for frame in frames)
    assert max(len(re.sub(r"\x1b\[\d+m", "", line)) for frame in frames for line in frame.splitlines()) < 100
    assert "2 of 2 runs are done" in last and "\n0: said by the program" not in first + "".join(frames) + last
    (shown,) = on_a_terminal(folder, "watch", NO_COLOR="1")
    assert "\x1b" not in shown and sum("done" in line for line in shown.splitlines()) == 2
    (coloured,) = on_a_terminal(folder, "status")
    assert coloured.count("\x1b[32m") == 2


def test_a_failed_run_is_reported_above_the_table(folder: Path):
    (folder / "train.py").write_text("import sys; sys.exit('it is broken')")
    text = "".join(on_a_terminal(folder, *STUDY, "train.py", status=1))
    assert text.count("failed: ") >= 2 and "it is broken" in text and "0 of 2 runs are done" in text


def test_a_file_gets_few_lines_and_no_colour(folder: Path):
    words = [sys.executable, START, *STUDY, "--throttle", "2", "train.py"]
    done = subprocess.run(words, cwd=folder, env=environment(TERM="xterm"), capture_output=True, text=True)
    assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr
    counts = [line for line in done.stderr.splitlines() if "runs have ended" in line]
    assert 1 <= len(counts) <= 2  # the first, and the last


def test_a_bar_is_never_longer_than_it_is():
    assert [bar(part, 4) for part in (-1, 0, 0.5, 1, 7)] == ["[....]", "[....]", "[##..]", "[####]", "[####]"]

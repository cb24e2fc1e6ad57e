"""The documentation as a site, and the commands of its tutorial and how-to pages.

A block ``sh`` is run, one with a ``title`` is written into a file of that name, in the order of the page and in one
folder. A block ``console`` is not run: the text above it says where it was.
"""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "docs" / "tutorial.md", *(ROOT / "docs" / "howto").glob("*.md")])
_BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_site_is_built_without_a_warning_and_needs_no_network(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.relative_to(tmp_path / "site"): page.read_text() for page in (tmp_path / "site").rglob("*.html")}
    assert {Path(name) for name in ("index.html", "api.html", "options.html", "design.html")} <= pages.keys()
    fetched = [
        (page, link)
        for page, text in pages.items()
        for link in re.findall(r"<(?:link|script|img)\b[^>]*(?:href|src)=\"?(https?://[^\">\s]+)", text)
        if "canonical" not in link
    ]
    assert not fetched
    assert "--max-attempts" in pages[Path("options.html")] and "stop_requested" in pages[Path("api.html")]


def test_each_question_has_a_page_that_says_what_is_run():
    listed = re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "howto" / "index.md").read_text())
    assert sorted(listed) == sorted(page.name for page in PAGES if page.parent.name == "howto" and page.stem != "index")
    for page in PAGES:
        text = page.read_text()
        for block in _BLOCK.finditer(text):
            language, title, _ = block.groups()
            assert title or language in ("sh", "console"), f"{page.name}: {block[0]}"
            above = text[: block.start()].rstrip().rpartition("\n\n")[2]
            assert language != "console" or re.search(r"\bnot run|no test runs|was run on", above), (
                f"{page.name}: {above}"
            )
        if page.parent.name == "howto" and page.stem != "index":
            assert text.startswith(("# How ", "# Where ", "# What ")) and len(text.split()) < 450, page.name


def test_the_definition_that_a_page_shows_can_be_copied(tmp_path: Path):
    page = (ROOT / "docs" / "studies.md").read_text()
    shown = re.search(r"^## A definition\n.*?\n\n((?:    [^\n]*\n|\n)+)", page, re.DOTALL | re.MULTILINE)
    assert shown
    (tmp_path / "study.toml").write_text(textwrap.dedent(shown[1]))
    done = subprocess.run(
        [sys.executable, "-m", "launch", "--backend", "local", "--dry-run", tmp_path / "study.toml"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "12 points x 2 repeats" in done.stdout, done.stderr


def test_the_example_of_resume_may_have_been_stopped_in_its_last_step(tmp_path: Path):
    (program,) = (text for _, title, text in _BLOCK.findall((ROOT / "docs/howto/resume.md").read_text()) if title)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "state.txt").write_text("10")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT / "launch" / "inside"), "LAUNCH_RUN": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if "```sh" in page.read_text()], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path):
    command = tmp_path / "bin" / "rankloop"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/launch/inside/rankloop/__main__.py "$@"\n')
    command.chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LAUNCH_", "SLURM_", "RANKLOOP_"))
    }
    env = kept | {
        "PATH": os.pathsep.join([str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "launch" / "inside")]),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    for language, title, text in _BLOCK.findall(page.read_text()):
        if title:
            (folder / title).write_text(text)
        elif language == "sh":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=folder, env=env, capture_output=True, text=True, timeout=900,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr, done.stderr

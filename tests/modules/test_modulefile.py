"""The modulefile, by the real `module` command of Lmod and of Environment Modules."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
LMOD = Path("/usr/share/lmod/lmod/init/bash")
# The packages conflict, so install.sh only unpacks the second one.
PLACES = (Path("/"), ROOT / ".cache" / "environment-modules")

Shell = Callable[[str], subprocess.CompletedProcess]


def start(tool: str) -> str:
    """Lines of bash that define the command `module`."""
    if tool == "lmod":
        if LMOD.exists():
            return f". {LMOD}"
    elif shutil.which("tclsh"):
        for place in PLACES:
            for program in place.glob("usr/lib/*/modulecmd.tcl"):
                return f'module() {{ eval "$(tclsh {shlex.quote(str(program))} bash "$@")"; }}'
    pytest.skip(f"no {tool} here: tests/slurm/install.sh gets it, on Debian")


@pytest.fixture(params=["lmod", "environment-modules"])
def tool(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def checkout(tmp_path: Path, tool: str) -> Path:
    """The toolkit at another place, with an environment of its own."""
    # Lmod 8.6 cannot read a Tcl file whose path has a space: its tcl2lua.tcl splits the path.
    root = tmp_path / ("somewhere" if tool == "lmod" else "some where") / "toolkit"
    shutil.copytree(ROOT / "modules", root / "modules")
    (root / "launch").symlink_to(ROOT / "launch")
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    (python.parent / "python3").symlink_to("python")
    return root


@pytest.fixture
def shell(tool: str, checkout: Path, tmp_path: Path) -> Shell:
    """Runs lines of bash after `module use` of the checkout, in a folder that is not the checkout."""
    begin = f"{start(tool)}\nmodule use {shlex.quote(str(checkout / 'modules' / 'modulefiles'))}\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(lines: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", "-c", begin + lines],
            cwd=elsewhere,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": "/opt/mine", "LMOD_PAGER": "none"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_the_file_is_named_after_the_version():
    (file,) = (ROOT / "modules" / "modulefiles" / "rankloop").iterdir()
    assert file.name == VERSION
    assert f"rankloop {VERSION}: " in file.read_text()


def test_it_describes_itself(shell: Shell):
    done = shell("module whatis rankloop; module help rankloop")
    said = done.stdout + done.stderr
    assert done.returncode == 0
    assert re.search(rf"rankloop/{VERSION} *: .*launch, profile and predict", said)
    assert "rankloop sites" in said and "RANKLOOP_SITE" in said


def test_the_toolkit_works_after_the_load_from_anywhere(shell: Shell, checkout: Path):
    done = shell("module load rankloop && command -v python rankloop && rankloop sites && python -m launch --help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{checkout}/.venv/bin/python\n{checkout}/modules/bin/rankloop\n")
    assert "this machine is " in done.stdout and "python -m launch [JOB OPTIONS]" in done.stdout


def test_loading_it_twice_and_unloading_it_leave_nothing_behind(shell: Shell, checkout: Path):
    show = 'printf "%s|" "$PYTHONPATH" "$PATH" "${RANKLOOP_ROOT-}" "${RANKLOOP_SITE-}"; echo'
    done = shell(f"{show}; module load rankloop; module load rankloop; {show}; module unload rankloop; {show}")
    before, loaded, after = done.stdout.splitlines()
    assert (
        loaded
        == f"/opt/mine:{checkout}|{checkout}/.venv/bin:{checkout}/modules/bin:{before.split('|')[1]}|{checkout}||"
    )
    assert after == before


def test_only_one_version_is_loaded(shell: Shell, checkout: Path):
    folder = checkout / "modules" / "modulefiles" / "rankloop"
    shutil.copy(folder / VERSION, folder / "9.9")
    done = shell(f'module load rankloop/{VERSION}; module load rankloop/9.9; echo "$PYTHONPATH"; module list')
    assert done.stdout.splitlines()[0] == f"/opt/mine:{checkout}"
    # Environment Modules refuse the second, Lmod puts it in the place of the first.
    assert (
        len(re.findall(r"rankloop/\d\S*", done.stdout.partition("\n")[2] + done.stderr.rpartition("Currently")[2])) == 1
    )


def test_a_site_may_say_which_it_is(shell: Shell, checkout: Path):
    own = checkout / "ours.toml"
    own.write_text('backend = "local"\n')
    file = checkout / "modules" / "modulefiles" / "rankloop" / VERSION
    file.write_text(file.read_text().replace('set site ""', f'set site "{own}"'))
    done = shell("module load rankloop && python -m launch sites")
    assert done.stdout.endswith(f"this machine is ours: RANKLOOP_SITE={own}\n"), done.stdout + done.stderr


def test_a_copy_without_the_toolkit_is_refused(shell: Shell, tmp_path: Path, checkout: Path):
    copy = tmp_path / "copy" / "rankloop"
    copy.mkdir(parents=True)
    shutil.copy(checkout / "modules" / "modulefiles" / "rankloop" / VERSION, copy / "8.8")
    done = shell(f'module use {shlex.quote(str(copy.parent))}; module load rankloop/8.8; echo "$?|$PYTHONPATH"')
    assert done.stdout == "1|/opt/mine\n"
    assert "is not the toolkit: load this module from where the toolkit" in " ".join(done.stderr.split())


def test_a_version_that_does_not_exist_fails_the_script(shell: Shell):
    done = shell("module load rankloop/0.0 || exit 7")
    assert done.returncode == 7 and "rankloop/0.0" in done.stderr

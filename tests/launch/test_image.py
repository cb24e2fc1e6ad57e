"""docs/howto/containers.md in an image with walls: by Apptainer where it is installed, else by a stand-in for it, which
makes a mount namespace and changes the root.

The image is a folder that has only /usr of this machine, so its Python is another one than that of the launcher.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from launched import launch

from launch.record.rundir import RunDir

# apptainer exec --bind=FOLDER... IMAGE COMMAND...; what it changes nobody else sees, and is gone with the command.
STAND_IN = """#!/bin/bash
set -euo pipefail
[ "$1" = exec ] && shift
if [ -z "${WITHIN:-}" ]; then WITHIN=1 exec unshare --user --map-root-user --mount "$0" "$@"; fi
binds=(/usr /dev /proc)
while [[ $1 = -* ]]; do
    if [[ $1 = --bind=* ]]; then binds+=("${1#--bind=}"); fi
    shift
done
image=$1 root=$1/.root
shift
mount -t tmpfs none "$root"
cp -a "$image"/[a-z]* "$root"
for path in "${binds[@]}"; do
    mkdir -p "$root$path"
    mount --rbind "$path" "$root$path"
done
exec chroot "$root" env -C "$PWD" "$@"
"""
PYTHON = "/usr/bin/python3"
NEW = "import sys; raise SystemExit(sys.version_info < (3, 11))"
PROGRAM = """
import os, sys
import extra

print(extra.WORD, os.environ["RANK"], sys.prefix, os.path.exists("/sbin"))
"""


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that both runtimes take for an image, with the runtime on PATH."""
    if not os.path.exists(PYTHON) or subprocess.run([PYTHON, "-c", NEW], check=False).returncode:
        pytest.skip("no Python 3.11 or newer in /usr, which is what the image has")
    made = tmp_path / "image"
    for name in ("usr", "dev", "proc", "tmp", "etc", ".root"):
        (made / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (made / name).symlink_to(f"usr/{name}")
    if not shutil.which("apptainer"):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "apptainer").write_text(STAND_IN)
        (tmp_path / "bin" / "apptainer").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    tried = _inside(tmp_path, made, PYTHON, "-c", NEW)
    if tried.returncode:
        pytest.skip(f"this kernel lets nobody make an image of /usr: {(tried.stderr.splitlines() or ['?'])[-1]}")
    return made


def _inside(folder: Path, image: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["apptainer", "exec", "--userns", "--bind=/usr", f"--bind={folder}", image, *words]
    return subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)


def test_packages_beside_an_image(tmp_path: Path, image: Path):
    """First the image lacks a package. Then it has an environment beside it, and two ranks find the package there."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    site = folder / "mine.toml"
    site.write_text('backend = "local"\ncontainer = "apptainer"\ncontainer_args = ["--userns", "--bind=/usr"]\n')
    words = ["--site", site, "--nodes=2", f"--container={image}", "--runs", folder / "runs"]
    lacking = launch(*words, "--name=lacking", folder / "program.py")
    assert lacking.returncode == 1 and "No module named 'extra'" in lacking.stdout
    assert "the image lacks a package" in lacking.stdout

    made = _inside(folder, image, PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", folder / "packages")
    assert made.returncode == 0, made.stderr
    (place,) = (folder / "packages" / "lib").glob("python3.*/site-packages")
    (place / "extra.py").write_text("WORD = 'found'\n")
    (place / "extra-1.2.dist-info").mkdir()
    with site.open("a") as file:
        file.write(f'container_python = "{folder}/packages/bin/python"\n')
    done = launch(*words, "--name=whole", folder / "program.py")
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(folder / "runs" / "whole")
    for node in (0, 1):
        assert run.node_log(node).read_text().splitlines()[-1] == f"{node}: found {node} {folder}/packages False"
    own = subprocess.run(
        [PYTHON, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True
    )
    around = run.surroundings()
    assert around.get("packages", {}).get("extra") == "1.2" and around.get("python") == own.stdout.strip()

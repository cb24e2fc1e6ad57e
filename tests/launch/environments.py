"""Small environments of Python that can launch, for tests: a virtual one, of the system's Python or of a copy of that."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

SYSTEM = Path("/usr/bin/python3.11")
_START = Path(__file__).resolve().parents[2] / "launch" / "inside" / "rankloop" / "__main__.py"
_NEEDED = ("submitit", "cloudpickle", "typing_extensions.py")


def make(folder: Path, own_base: bool = False) -> Path:
    """The interpreter of a virtual environment in a folder; with ``own_base``, what that is made of lies there too."""
    python = SYSTEM
    if own_base:
        base = folder / "base"
        left_out = shutil.ignore_patterns("test", "idlelib", "__pycache__", "config-*", "ensurepip", "tkinter", "*.a")
        shutil.copytree(f"/usr/lib/{SYSTEM.name}", base / "lib" / SYSTEM.name, ignore=left_out)
        python = base / "bin" / SYSTEM.name
        python.parent.mkdir()
        shutil.copy(SYSTEM, python)
    subprocess.run([python, "-m", "venv", "--without-pip", folder / "env"], check=True)
    packages = folder / "env" / "lib" / SYSTEM.name / "site-packages"
    for name in _NEEDED:
        source = Path(sysconfig.get_paths()["purelib"], name)
        shutil.copytree(source, packages / name) if source.is_dir() else shutil.copy(source, packages)
    return folder / "env" / "bin" / "python"


def launch(python: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command rankloop in that environment."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    command = [python, _START, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=120, check=False)

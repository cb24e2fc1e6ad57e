"""python -m launch new FILE.py: write a small workload to start from, which runs as it is."""

from pathlib import Path

from launch import HOME
from launch.errors import Refusal, command
from launch.record.writing import publish

TEMPLATE = Path(HOME, "jobs", "workload.py")


def main(argv: list[str]) -> int:
    """Write the file; return 0.

    Raises
    ------
    Refusal
        If the name is not that of a Python file, something has it already, or it cannot be written.
    """
    if len(argv) != 1 or not argv[0].endswith(".py") or not Path(argv[0]).stem.isidentifier():
        given = " ".join(argv) or "nothing"
        raise Refusal(f"new needs the name of a Python file and was given {given}: {command('new my_model.py')}")
    file = Path(argv[0])
    if file.exists() or file.is_symlink():
        raise Refusal(f"{file} exists, and was not changed: give another name")
    try:
        publish(file, TEMPLATE.read_text().replace("FILE", str(file), 1))
    except OSError as error:
        raise Refusal(f"{file} cannot be written ({error.strerror}): give a folder that exists and is yours") from None
    print(f"{file} is a workload. Train it on two ranks: {command('--nodes 2', file)}")
    return 0

"""The scaling table at the end of a study. The report prints it, which the launcher runs only as a command."""

import contextlib
import subprocess
import sys
from pathlib import Path

from launch import own_command
from launch.errors import command
from launch.record.files import Unreadable, read_json
from launch.record.study import entries_of
from launch.submit.workflow.stages import is_workflow


def of(folder: Path) -> str:
    """Return the table of a study whose runs are done, or why there is none. For a sweep, the command that prints the
    table of its points. Empty if all runs have the same number of nodes."""
    entries = entries_of(folder)
    if any(entry["values"].keys() - {"seed"} for entry in entries):
        series = f"the scaling table of one of its series: {command('report', folder, '--series')} NAME\n"
        several = len({entry["nodes"] for entry in entries}) > 1
        return f"the table of its points: {command('table', folder)} [--by METRIC]\n" + series * several
    if len({entry["nodes"] for entry in entries}) < 2:
        return ""
    if is_workflow(folder.parent):  # a stage of the workflow may be writing this very report
        return f"its scaling table: {command('report', folder)}\n"
    report = own_command(sys.executable, "report", str(folder), *_remark(folder))
    made = subprocess.run(
        report, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if made.returncode:
        said = (made.stderr.strip().splitlines() or [f"exit status {made.returncode}"])[-1]
        why = said.partition(": ")[2] or said  # without the command's name
        return f"no scaling table: {why}\nthen: {command('report', folder)}\n"
    return f"\n{made.stdout.rstrip()}\nthis table again: {command('report', folder)}\n"


def _remark(folder: Path) -> list[str]:
    """Return the remark in the study's existing report, which the new report must keep."""
    with contextlib.suppress(Unreadable, KeyError, TypeError):
        return [f"--remark={read_json(folder / 'report' / 'report.json')['about']['remark']}"]
    return []

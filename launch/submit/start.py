"""Starts what is planned: makes its folder, submits it, and removes the folder if it is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from launch.errors import SubmissionRefused

if TYPE_CHECKING:
    from launch.submit.lock import Hold


class Startable(Protocol):
    """A planned run, study or workflow."""

    @property
    def folder(self) -> Path:
        """The folder that it will have."""
        ...

    def create(self) -> None:
        """Make the folder."""

    def run(self, how: str, hold: Hold) -> int:
        """Run what is in the folder."""
        ...


def start(planned: Startable, how: str) -> int:
    """Make the folder of what is planned and run it; return the exit status.

    Raises
    ------
    SubmissionRefused
        If the scheduler refuses it. The folder is then removed, unless something has begun or the scheduler may have
        accepted a job.
    """
    from launch.submit.lock import alone

    planned.create()
    try:
        with alone(planned.folder) as hold:
            return planned.run(how, hold)
    except SubmissionRefused as refusal:
        begun = any('"started"' in path.read_text() for path in planned.folder.rglob("events.jsonl"))
        if not refusal.may_be_queued and not begun:
            shutil.rmtree(planned.folder)  # it would only block the next try
        raise

"""What is known of runs: from their files, and of those under way from Slurm or from the lock of their launcher.

A state is one of
  planned    made, and never submitted
  queued     waits for its nodes
  running
  done
  stopped    its ranks have saved and left: resume goes on
  failed, timeout, cancelled
  lost       it had begun, and is gone without having noted its end: resume goes on
  unknown    a local run of another host, which cannot be seen from here
  damaged    a file of it holds something else than it should
  unreadable a file of it cannot be read, as that of another user
"""

import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.backends import local, supervise
from launch.backends.slurm import outcome
from launch.backends.slurm_jobs import Answer, ask_all, jobs
from launch.backends.slurm_queue import ENDED
from launch.backends.slurm_submission import recover
from launch.errors import Refusal
from launch.record.files import Unreadable
from launch.record.pace import pace
from launch.record.rundir import RunDir
from launch.submit.stages import ended_before

UNDER_WAY = ("queued", "running", "unknown")
_LIFE = {"submitted": "queued", "started": "running", "ended": "", "cancelled": "cancelled"}
_WAITING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_SETTLING_S = 15.0  # between what a run notes and what Slurm or a shared disk shows of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a run; None where it is not."""

    path: Path
    state: str
    reason: str = ""  # of waiting, failing or being lost, in short
    source: str = "records"  # of the state: records, slurm (asked), lock (of the launcher on this machine)
    asked: float | None = None  # when Slurm gave its answer, Unix seconds
    since: float | None = None  # time of the last event, Unix seconds
    workload: str | None = None
    backend: str | None = None
    job: str | None = None
    nodes: int | None = None
    ranks: int | None = None
    attempts: int = 0
    hosts: str = ""  # the nodes, as Slurm writes them
    step: int | None = None
    steps: int | None = None
    epoch: float | None = None
    epochs: float | None = None
    loss: float | None = None
    examples_per_s: float | None = None  # over all ranks
    left_s: float | None = None  # until the last step, at this speed

    @property
    def under_way(self) -> bool:
        """Whether the run may go on by itself."""
        # A job that was stopped may have been requeued: an answer older than the end does not tell.
        requeued = self.state == "stopped" and self.asked is not None and self.asked <= (self.since or 0)
        return self.state in UNDER_WAY or requeued


def find(words: Iterable[str | Path]) -> list[Path]:
    """The runs that are named, and those in the folders that are named, in natural order of their paths.

    Raises
    ------
    Refusal
        If something named is neither a run nor a folder with runs in it.
    """
    found: dict[Path, None] = {}
    for word in words:
        below = sorted(_below(Path(word)), key=_natural)
        if not below:
            what = "has no run in it" if os.path.isdir(word) else "is no folder"
            raise Refusal(f"{word} {what}: give a run, or a folder of runs, that python -m launch has made")
        found |= dict.fromkeys(below)
    return list(found)


def look(paths: Sequence[Path], ask: Callable[[], Answer] = jobs) -> tuple[list[Known], str]:
    """Find out about runs.

    Parameters
    ----------
    paths : sequence of Path
        Run directories.
    ask : function
        What asks Slurm, for all of them at once, if there is something to ask.

    Returns
    -------
    known : list of Known
        In the same order.
    silence : str
        Why Slurm does not answer, if there was something to ask and it did not; then the states are from the records.
    """
    answer = None
    known = []
    for path in paths:
        try:
            run = RunDir(path)
            plan, events = run.record(), _life(run)
            if answer is None and plan.get("backend") == "slurm" and _ask_slurm(run, events):
                answer = ask()
            known.append(_know(path, run, plan, events, answer))
        except Unreadable as error:
            known.append(Known(path=path, state=error.state, reason=error.reason))
        except (Refusal, OSError) as error:
            known.append(Known(path=path, state="damaged", reason=" ".join(str(error).split())))
    return known, answer.silence if answer else ""


def going_on(these: Sequence[RunDir], backend: str) -> set[Path]:
    """Those of the runs of a study that are in the queue or run, as it is now: to make them again would be once too often.

    A job that Slurm took from a launcher that was killed before it could say so is noted in its runs.

    Raises
    ------
    Refusal
        If nobody knows, as Slurm does not answer.
    """
    if backend == "local":
        return {run.path for run in these if supervise.is_running(run)}
    recover(these)
    known, silence = look([run.path for run in these], ask_all)
    if silence:
        raise Refusal(f"Slurm does not answer ({silence}), so it may still have {these[0].path}: try again later")
    return {one.path for one in known if one.under_way}


def recorded(events: Sequence[dict[str, Any]], done: bool) -> tuple[str, str]:
    """State and reason, as far as a run has noted them itself.

    Parameters
    ----------
    events : sequence of dict
        Those of events.jsonl that are of its life: submitted, started, ended, cancelled.
    done : bool
        Whether there is a result.
    """
    last = events[-1] if events else {}
    if done:
        return "done", ""
    if last.get("event") == "ended":
        failure = last.get("first_failure")
        told = f"rank {failure['rank']} on {failure['host']}: {failure['error']}" if failure else ""
        status = f"exit status {last.get('status')}" if last["outcome"] == "failed" else ""
        return last["outcome"], told or last.get("reason") or status
    return _LIFE[last["event"]] if last else "planned", last.get("reason") or ""


def judge(noted: str, last: dict[str, Any], number: str | None, answer: Answer) -> tuple[str, str]:
    """State and reason of a run on Slurm that has noted no final end.

    Parameters
    ----------
    noted : str
        "queued", "running" or "stopped".
    last : dict
        The last event.
    number : str
        Of the job.
    answer : Answer
        Slurm's, which is not silent.
    """
    job = answer.jobs.get(number or "")
    if job is None:
        if noted == "stopped" or last["time"] > answer.time - _SETTLING_S:
            return noted, ""
        return "lost", f"job {number} is gone and has noted no end: resume goes on"
    if job.state in _WAITING:
        return "queued", job.reason
    if noted == "stopped":
        return noted, ""
    if last.get("packed"):  # it is submitted with its study, and its turn in the allocation has not come
        ended = job.state in ENDED
        return ("stopped", f"job {number} ended before its turn") if ended else ("queued", f"its turn in job {number}")
    if job.state in ENDED:
        where = f" on {job.nodes}" if job.nodes else f", {job.reason}" if job.reason else ""
        return outcome(job.state, None), f"job {number}: {job.state}{where}"
    return "running", "" if job.state == "RUNNING" else job.state.lower()


def _below(folder: Path) -> Iterator[Path]:
    """The runs in a folder, itself included, and folders that cannot be entered; of a run none of its many files is looked at."""
    folders = [folder]
    while folders:
        folder = folders.pop()
        if os.path.lexists(folder / "run.json"):
            yield folder
            continue
        try:
            with os.scandir(folder) as entries:
                inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."]
            folders += [folder / entry.name for entry in inner]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            yield folder


def _natural(path: Path) -> list[Any]:
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", str(path)))]


def _ask_slurm(run: RunDir, events: list[dict[str, Any]]) -> bool:
    """Whether Slurm may know more than the records of its run: of one that is done or has failed it does not."""
    return recorded(events, run.result_json.exists())[0] in ("queued", "running", "stopped")


def _know(path: Path, run: RunDir, plan: dict[str, Any], events: list[dict[str, Any]], answer: Answer | None) -> Known:
    state, reason, source = _state(run, plan, events, answer)
    if state in ("lost", "failed", "timeout", "cancelled"):  # it may have noted its end since its events were read
        events = _life(run)
        state, reason, source = _state(run, plan, events, answer)
    last = events[-1] if events else {}
    started = next((event for event in reversed(events) if event["event"] == "started"), {})
    number = _job(events)
    job = answer.jobs.get(number or "") if answer and source == "slurm" else None
    return Known(
        path=path,
        state=state,
        reason=" ".join(reason.split()),
        source=source,
        asked=answer.time if answer and source == "slurm" else None,
        since=last.get("time"),
        workload=plan.get("workload"),
        backend=plan.get("backend"),
        job=number,
        nodes=plan.get("nodes"),
        ranks=plan["nodes"] * plan["ranks_per_node"],
        attempts=sum(event["event"] == "started" for event in events),
        hosts=(job.nodes if job else "") or started.get("nodes") or started.get("host") or "",
        **(_pace(run, state == "running") if started or state == "done" else {}),
    )


def _life(run: RunDir) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["event"] in _LIFE]  # a workload notes its evaluations too


def _state(
    run: RunDir, plan: dict[str, Any], events: list[dict[str, Any]], answer: Answer | None
) -> tuple[str, str, str]:
    noted, reason = recorded(events, run.result_json.exists())
    if noted not in ("queued", "running", "stopped"):
        return noted, reason, "records"
    if plan.get("backend") == "slurm":
        if answer is None or answer.silence:
            return noted, reason, "records"
        state, reason = judge(noted, events[-1], _job(events), answer)
        if state in ("cancelled", "lost") and noted == "queued" and (cause := ended_before(run.path)):
            return "cancelled", cause, "slurm"  # the controller tells it for some minutes only
        return state, reason, "slurm"
    if noted == "stopped":
        return noted, reason, "records"
    last = events[-1]
    if supervise.is_running(run):
        return "running", "" if noted == "running" else "starting", "lock"
    if (last.get("host") or socket.gethostname()) != socket.gethostname():
        return "unknown", f"started on {last['host']}: ask there", "records"
    if noted == "queued" and time.time() - last["time"] < local.STARTING_S:
        return "queued", "starting", "records"
    return "lost", "its launcher is gone and has noted no end: resume goes on", "lock"


def _job(events: Sequence[dict[str, Any]]) -> str | None:
    """The job as it was handed in: ``scancel 4 3_1`` passes over job 4, silently, if that is the task 3_0 (Slurm 22.05.8)."""
    named = [event for event in events if event.get("job")]
    handed_in = [event for event in named if event["event"] == "submitted"]
    return str((handed_in or named)[-1]["job"]) if named else None


def _pace(run: RunDir, running: bool) -> dict[str, float | None]:
    """How far a training is: from its steps while there is no result, and from that afterwards."""
    now = pace(run)
    if not running:
        now["left_s"] = None
    if result := run.result():
        now |= {"examples_per_s": result.get("throughput_examples_per_s"), "left_s": None}
        now |= {name: now[name] or result.get(name) for name in ("steps", "epochs")}
    return now

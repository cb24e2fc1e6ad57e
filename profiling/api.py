"""Studies from Python: what ``import rankloop`` offers notebooks and scripts. It uses the functions behind the verbs.

    study = rankloop.launch("train.py", nodes=[1, 2, 4], repeats=3, sweep={"lr": [0.1, 0.01]})
    study.wait().table(by="accuracy")

Nothing is printed. What cannot be done raises a `Refusal`, whose message is the one line that the command would print.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch import START
from launch.cli import cancel, status
from launch.errors import Refusal, SubmissionRefused, nearest
from launch.plan import options
from launch.plan.names import default_name
from launch.plan.request import Request
from launch.plan.sweep import axis
from launch.submit import places, states
from profiling.rows import Rows, dataframe

if TYPE_CHECKING:
    import pandas  # type: ignore[import-not-found]

__all__ = ["Refusal", "Rows", "Study", "launch"]

_POLL_S = (0.2, 5.0)  # seconds between two looks at the runs: at first, and at most


def launch(program: str | Path, *arguments: object, **asked: Any) -> Study:
    """Start a run or a study, as ``rankloop --detach`` does, and return at once; it outlives this process.

    Parameters
    ----------
    program : str or Path
        Script, module, workload, or the TOML file of a definition.
    *arguments : object
        Command-line arguments of the program.
    **asked : Any
        Job options, named as on the command line with ``_`` for ``-``: ``nodes=[1, 2, 4]``, ``repeats=3``. ``sweep`` is
        a dict from each axis to its values, or to a text such as ``"0..4"``.

    Raises
    ------
    Refusal
        If the request cannot be met; nothing is started then. `SubmissionRefused` if the scheduler refuses it.

    Examples
    --------
    `Study` shows a whole example. A wrong option is refused:

    >>> launch("train.py", node=2)
    Traceback (most recent call last):
    launch.errors.Refusal: node is not an option of the job: did you mean 'nodes'?
    """
    known = {field.name: field for field in dataclasses.fields(Request)}
    if unknown := next((name for name in asked if name not in known), None):
        raise Refusal(f"{unknown} is not an option of the job: {nearest(unknown, known)}")
    if own := next((name for name in ("dry_run", "follow", "wait", "detach") if name in asked), None):
        raise Refusal(f"{own} is for the command line: launch returns at once, and .wait() waits for the end")
    folder = Path(asked.get("runs", "runs"), asked.get("name") or "")
    if not asked.get("name"):
        folder = _unused(folder, str(program))
    words = [f"--sweep={axis}" for axis in _axes(asked.pop("sweep", None) or {})]
    for name, value in (asked | {"runs": folder.parent, "name": folder.name}).items():
        words += _words(known[name], value)
    # A separate process imports the files as they are now when it plans a workload, and records its command line.
    command = [sys.executable, START, *words, "--detach", str(program), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = done.stderr.strip().removeprefix("rankloop: ")
    if done.returncode:
        refusal = (SubmissionRefused if done.returncode == SubmissionRefused.status else Refusal)(said)
        refusal.status = done.returncode
        raise refusal
    if said:
        warnings.warn(said, stacklevel=2)
    return Study(folder)


class Study:
    """A study or a run, given by its folder.

    Parameters
    ----------
    path : str or Path
        Folder of the study or run.

    Raises
    ------
    Refusal
        If the folder holds no run.

    Examples
    --------
    >>> code = "import sys, time, rankloop\\n"
    >>> code += "for _ in rankloop.steps(range(20), examples=8): time.sleep(0.01)\\n"
    >>> code += "rankloop.result(loss=1 / rankloop.size)"
    >>> _ = Path("train.py").write_text(code)
    >>> study = launch("train.py", nodes=[1, 2], backend="local", independent=True, runs=".", name="weak")
    >>> [row["state"] for row in study.wait(timeout=300).status()]
    ['done', 'done']
    >>> [run.name for run in Study("weak").runs]
    ['n1-r1', 'n2-r1']
    >>> [(row["nodes"], row["loss"]) for row in study.table(by="loss", smallest=True)]
    [(2, 0.5), (1, 1.0)]
    >>> [(row["workers"], row["repeats"]) for row in study.scaling()]
    [(1, 1), (2, 1)]
    >>> [row["low"] < row["throughput"] < row["high"] for row in study.predict(nodes=[4, 8])]
    [True, True]
    >>> study.cancel()  # nothing is left to be ended
    """

    def __init__(self, path: str | Path) -> None:
        if not isinstance(path, str | os.PathLike):
            raise Refusal(f"Study({path!r:.60}): give the folder of a study or of a run")
        self.path = Path(path).absolute()
        places.find([self.path])

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r})"

    @property
    def runs(self) -> list[Path]:
        """Folders of the runs."""
        return places.find([self.path])

    def wait(self, timeout: float | None = None) -> Study:
        """Return once no run is queued or running, however each of them ended; `status` says how.

        Raises
        ------
        TimeoutError
            If it takes longer than ``timeout`` seconds; the runs go on.
        Refusal
            If a run was started on another host, and cannot be seen from here.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        left, pause = self.runs, _POLL_S[0]
        while left:
            known, _ = states.look(left)
            if elsewhere := next((one for one in known if one.state == "unknown"), None):
                raise Refusal(f"{elsewhere.path}: {elsewhere.reason}")
            left = [one.path for one in known if one.under_way]
            if left and time.monotonic() > deadline:
                raise TimeoutError(f"{len(left)} of the runs of {self.path} have not ended after {timeout:g} s")
            time.sleep(pause if left else 0)
            pause = min(1.2 * pause, _POLL_S[1])
        return self

    def status(self) -> Rows:
        """Return a row per run: its state, why it failed, its progress."""
        known, efficiencies, bad, doubts = status.look([self.path])
        for doubt in doubts:
            warnings.warn(doubt, stacklevel=2)
        return Rows(status.as_json(known, efficiencies, bad), lambda: "\n".join(status.lines(known, efficiencies, bad)))

    def table(self, by: str | None = None, smallest: bool | None = None) -> Rows:
        """Return a row per point with the results of its repeats. The arguments are those of ``rankloop table``."""
        from profiling.cli import table
        from profiling.reporting import sweep_table

        with _in_words_of_python():
            content = table.document(self.path, by, smallest)
        header, *rows = sweep_table.flat(content)
        named = [dict(zip(header, row)) for row in rows]
        return Rows(named, lambda: table.as_text(content), lambda: table.as_markdown(content))

    def scaling(self, series: str | None = None) -> Rows:
        """Return a row per number of ranks: throughput, speed-up, efficiency, intervals, as in ``rankloop report``."""
        from profiling.cli import inputs, report
        from profiling.reporting import document

        with _in_words_of_python():
            content = document.table(inputs.series(self.path, series)[0])
        return Rows(
            content["rows"], lambda: report.printed(content, "text"), lambda: report.printed(content, "markdown")
        )

    def predict(self, nodes: int | Iterable[int], series: str | None = None) -> Rows:
        """Return a row per number of nodes: the prediction of ``rankloop predict``, which is also recorded."""
        from profiling.cli import predict

        asked = (nodes,) if isinstance(nodes, int) else tuple(nodes)
        with _in_words_of_python():
            content, rates, _ = predict.predicted(self.path, predict.Options(nodes=asked, series=series))
        return Rows(content["predictions"], lambda: predict.as_text(content, rates))

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a row per run: its nodes, values on the axes, state and figures. It needs pandas."""
        from profiling.cli import table
        from profiling.reporting import sweep_table

        return dataframe(sweep_table.of_runs(table.document(self.path)))

    def cancel(self) -> None:
        """End the runs so that they can be resumed; return when they have ended."""
        with contextlib.redirect_stdout(io.StringIO()):
            cancel.main([str(self.path)])


@contextlib.contextmanager
def _in_words_of_python() -> Iterator[None]:
    """Rephrase refusals: an option of a verb, such as --by, is an argument here."""
    try:
        yield
    except Refusal as refusal:
        raise Refusal(re.sub(r"--(series|by|smallest)\b", r"\1=...", str(refusal))) from None


def _unused(runs: Path, program: str) -> Path:
    """Return an unused folder for a run or study without a given name."""
    words = Path(program).stem if "/" in program or Path(program).is_file() else program.rpartition(".")[2]
    now = datetime.datetime.now().replace(microsecond=0)
    while (folder := runs / default_name(words, now)).exists():
        now += datetime.timedelta(seconds=1)
    return folder


def _axes(sweep: Mapping[str, Any] | str | Iterable[str]) -> list[str]:
    """Return the value of each --sweep option."""
    if not isinstance(sweep, Mapping):
        return [sweep] if isinstance(sweep, str) else list(sweep)
    words = []
    for name, values in sweep.items():
        listed = isinstance(values, Iterable) and not isinstance(values, str | Mapping)
        texts = [_text(each) for each in values] if listed else [_text(values)]
        words.append(f"{name}={','.join(texts)}")
        if listed and axis(words[-1])[1] != texts:
            raise Refusal(f"{words[-1]!r} means other values behind --sweep: write them into a definition, a TOML file")
    return words


def _words(field: dataclasses.Field, value: Any) -> list[str]:
    """Return an option as words of the command line; no words for None."""
    flag = options.flags(field)[-1]
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, list | tuple | range):
        texts = [_text(each) for each in value]
        separator = field.metadata.get("separator")
        return [f"{flag}={text}" for text in ([separator.join(texts)] if separator else texts)]
    return [] if value is None else [f"{flag}={value}"]


def _text(value: Any) -> str:
    """Return a value as it is written on the command line: lists, dicts, true and false as in JSON."""
    try:
        text = json.dumps(value, separators=(",", ":")) if isinstance(value, list | tuple | dict | bool) else str(value)
    except (TypeError, ValueError) as error:
        raise Refusal(f"{value!r:.60} cannot be written on a command line ({error}): give numbers and texts") from None
    if re.fullmatch(r"<.* at 0x[0-9a-f]+>", text, re.DOTALL):  # Python's default text of an object
        raise Refusal(f"{text:.60} cannot be written on a command line: give numbers and texts")
    return text

"""Checkpoints of a run: atomic, verified, the last few kept.

A checkpoint is one file, step-<n>.npz: the values of all variables, in order, and a header in JSON. It is published by
rename, so a kill leaves the previous ones whole. Each array in it has the CRC-32 of the zip format, and all of them are
checked before any is used. Weights are the same on all ranks, so one rank writes and reads for all of them.
"""

import io
import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from launch.errors import Refusal, one_line
from launch.record.writing import publish

if TYPE_CHECKING:
    import keras

Read = TypeVar("Read")

DAMAGE = zipfile.BadZipFile
"""What `load` raises on content that is not, or no longer, that of a checkpoint."""

PAUSES_S = (1, 2, 4, 8, 15)
"""Seconds before each new attempt to read a file that could not be read, as happens on shared file systems."""


@dataclass(frozen=True)
class Checkpoint:
    """What was read from a file: the step after which it was written, the values, and what else was noted."""

    step: int
    values: list[np.ndarray]
    header: dict[str, Any]


def save(folder: Path, step: int, variables: Sequence["keras.Variable"], note: dict[str, Any], keep: int) -> Path:
    """Publish a checkpoint, then remove all but the newest ``keep``.

    Parameters
    ----------
    folder : Path
        Folder of the run's checkpoints.
    step : int
        Number of steps made so far.
    variables : sequence of keras.Variable
        Variables of the model and the optimizer, always in the same order.
    note : dict
        JSON values to store in the header.
    keep : int
        Number of checkpoints to keep.

    Returns
    -------
    Path
        Path of the new file.
    """
    values = [np.asarray(variable) for variable in variables]
    header = {"step": step, "variables": [_description(variable) for variable in variables], **note}
    # numpy has no name for bfloat16 and would store it as nameless bytes anyhow; the header keeps its name.
    arrays = {
        f"v{i:05d}": value.view(np.uint16) if value.dtype.kind == "V" else value for i, value in enumerate(values)
    }
    buffer = io.BytesIO()
    np.savez(buffer, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    path = folder / f"step-{step}.npz"
    folder.mkdir(exist_ok=True)
    publish(path, buffer.getbuffer())
    for old in files(folder)[:-keep]:
        old.unlink()
    return path


def load(path: Path) -> Checkpoint:
    """Read and verify a file.

    Raises
    ------
    OSError
        If it cannot be read, which says nothing about its content.
    DAMAGE
        If it is incomplete or altered.
    """
    # Read as a whole first, as zipfile takes some errors of reading for damage.
    content = path.read_bytes()
    try:
        # numpy reads only as many bytes as an array states, and zipfile checks a CRC-32 only once all are read.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if altered := archive.testzip():
                raise DAMAGE(f"the CRC-32 of {altered} is another")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            values = [arrays[f"v{i:05d}"] for i in range(len(header["variables"]))]
        return Checkpoint(header["step"], values, header)
    except MemoryError:  # says nothing about the content
        raise
    except Exception as error:  # damaged content can raise anything
        raise DAMAGE(one_line(error)) from None


def latest(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint that is whole.

    A damaged one is moved aside to step-<n>.damaged, with a line that says so.

    Returns
    -------
    Checkpoint or None
        The checkpoint; None if none was written.

    Raises
    ------
    Refusal
        If one cannot be read, or if all are damaged: nobody resumes a run with a checkpoint to train again from step 0.
    """
    for path in reversed(_patiently(folder, files)):
        try:
            return _patiently(path, load)
        except DAMAGE as error:
            aside = path.with_suffix(".damaged")
            path.rename(aside)
            print(f"checkpoint {path.name} is damaged ({error}), now {aside.name}", flush=True)
    if damaged := sorted(folder.glob("step-*.damaged")):
        raise Refusal(
            f"no checkpoint in {folder} is whole, {damaged[0].name} is damaged: put a copy of it back as .npz, "
            "or remove all *.damaged to train again from step 0"
        )
    return None


def _patiently(path: Path, read: Callable[[Path], Read]) -> Read:
    """Return what is read from a path; for a while, try again if it cannot be read."""
    said = ""
    for pause in (*PAUSES_S, 0):
        try:
            return read(path)
        except OSError as error:
            said = error.strerror or str(error)
            if pause:
                print(f"{path} cannot be read ({said}): trying again in {pause} s", flush=True)
                time.sleep(pause)
    raise Refusal(
        f"{path} cannot be read ({said}), which does not make it a bad checkpoint: resume the run when it can be, "
        "or move it away to go on from the one before"
    )


def restore(checkpoint: Checkpoint, variables: Sequence["keras.Variable"], engine: str) -> None:
    """Assign the values of a checkpoint, which may have been written with another engine.

    Raises
    ------
    Refusal
        If they are not the variables that were saved; nothing is assigned then.
    """
    saved, now = checkpoint.header["variables"], [_description(variable) for variable in variables]
    before = checkpoint.header.get("engine", engine)
    instead = (
        "go on with the options and code of the run, or start a new run"
        if before == engine
        else f"--engine {before} made it, and its state does not fit --engine {engine}: go on with --engine {before}, "
        "with the options and code of the run"
    )
    if list(map(_kind, saved)) != list(map(_kind, now)):
        different = next((pair for pair in zip(saved, now) if _kind(pair[0]) != _kind(pair[1])), None)
        what = (
            "its {} is now {}".format(*map(_text, different))
            if different
            else f"{len(saved)} variables, now {len(now)}"
        )
        raise Refusal(f"the checkpoint at step {checkpoint.step} is of another network or optimizer: {what}; {instead}")
    values = [
        value.view(variable.numpy().dtype) if variable.dtype == "bfloat16" else value.astype(variable.dtype)
        for value, variable in zip(checkpoint.values, variables)
    ]
    for value, own, description in zip(checkpoint.values, values, saved):
        if _kind(description)[1] == "integer" and (value != own).any():
            raise Refusal(
                f"the checkpoint at step {checkpoint.step} has a number in its {_text(description)} that is too large "
                f"for {own.dtype}; {instead}"
            )
    for value, variable in zip(values, variables):
        variable.assign(value)


def files(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the oldest first; none if there is no such folder."""
    try:
        names = os.listdir(folder)  # not by glob, which takes a folder that may not be read for an empty one
    except FileNotFoundError:
        return []
    steps = sorted(int(match[1]) for match in map(re.compile(r"step-(\d+)\.npz").fullmatch, names) if match)
    return [folder / f"step-{step}.npz" for step in steps]


def _description(variable: "keras.Variable") -> list:
    return [variable.path, list(variable.shape), variable.dtype]


def _kind(description: list) -> tuple:
    """Return what variables have in common whose values can be exchanged. Names do not count: Keras numbers layers over
    the whole process, so they depend on what else was built in it. Nor does the width of integers: engines differ."""
    _, shape, dtype = description
    return tuple(shape), "integer" if "int" in dtype else dtype


def _text(description: list) -> str:
    path, shape, dtype = description
    return f"{path} ({' x '.join(map(str, shape)) or 'scalar'}, {dtype})"

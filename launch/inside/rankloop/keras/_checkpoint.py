"""Checkpoints of a training: one file each, step-<n>.npz, written by rank 0, published by rename; the last two are
kept."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

import rankloop
from rankloop.keras._lines import refuse, say

KEPT = 2

_DAMAGE = (zipfile.BadZipFile, ValueError, KeyError, EOFError)


def are_kept() -> bool:
    """Return whether this program is a run of the launcher, with a folder of its own. Elsewhere nothing is saved or
    continued."""
    return "LAUNCH_RUN" in os.environ


def write(header: dict[str, Any], variables: Sequence[keras.Variable], sums: Sequence[np.ndarray]) -> None:
    """Publish a checkpoint, and remove all but the newest of this training.

    Parameters
    ----------
    header : dict
        ``number`` of the training within the program, ``total`` steps of the program so far, and anything else that
        JSON can hold.
    variables : sequence of keras.Variable
        Variables of model and optimizer, always in the same order.
    sums : sequence of ndarray
        Sums of the metrics over all ranks.
    """
    arrays: dict[str, Any] = {
        "header": np.frombuffer(json.dumps({**header, "variables": _described(variables)}).encode(), np.uint8)
    }
    for name, values in (("v", variables), ("m", sums)):
        # NumPy has no name for bfloat16 and would store it as nameless bytes; the header keeps its name.
        each = (np.asarray(value) for value in values)
        for i, value in enumerate(each):
            arrays[f"{name}{i}"] = value.view(np.uint16) if value.dtype.kind == "V" else value
    content = io.BytesIO()
    np.savez(content, **arrays)
    path = rankloop.checkpoints / f"step-{header['total']}.npz"
    hidden = path.with_name(f".{path.name}")
    with open(hidden, "wb") as file:
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    os.replace(hidden, path)
    own = [old for old in _files() if (read := _header(old, whole=False)) and read["number"] == header["number"]]
    for old in own[:-KEPT]:
        old.unlink()


def newest(number: int) -> dict[str, Any]:
    """Return the header of the newest undamaged checkpoint of a training, with its ``path``; empty if there is none."""
    damaged = []
    for path in reversed(_files()):
        header = _header(path)
        if header is None:
            damaged.append(path)
        elif header["number"] == number:
            return {**header, "path": str(path)}
        elif header["number"] < number:  # an earlier training, which is over: damaged files after it are of this one
            break
        else:  # a later training
            damaged = []
    if damaged:
        refuse(f"{damaged[0]} is damaged, and no other checkpoint of this training is whole: remove it to train again")
    return {}


def restore(header: dict[str, Any], variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Assign the values of a checkpoint; return the sums of the metrics."""
    saved, now = header["variables"], _described(variables)
    # The names are not compared: Keras numbers layers over the whole process, so they depend on what else was built in
    # it.
    if [each[1:] for each in saved] != [each[1:] for each in now]:
        which = next((pair for pair in zip(saved, now) if pair[0][1:] != pair[1][1:]), None)
        what = "{} is now {}".format(*which) if which else f"{len(saved)} variables are now {len(now)}"
        refuse(f"{header['path']} is of another network or optimizer ({what}): start a new run")
    with np.load(header["path"]) as archive:
        for index, variable in enumerate(variables):
            value = archive[f"v{index}"]
            variable.assign(value.view(variable.numpy().dtype) if variable.dtype == "bfloat16" else value)
        return [archive[name] for name in sorted((n for n in archive.files if n[0] == "m"), key=lambda n: int(n[1:]))]


def _files() -> list[pathlib.Path]:
    numbers = (re.fullmatch(r"step-(\d+)\.npz", path.name) for path in rankloop.checkpoints.iterdir())
    return [rankloop.checkpoints / f"step-{n}.npz" for n in sorted(int(match[1]) for match in numbers if match)]


def _header(path: pathlib.Path, whole: bool = True) -> dict[str, Any] | None:
    """Return the header of a file; None if the file is damaged. If ``whole``, all of it is read, and checked by the
    CRC-32 of its arrays."""
    with contextlib.suppress(*_DAMAGE):
        with zipfile.ZipFile(path) as archive, np.load(path) as arrays:
            if not whole or archive.testzip() is None:
                return json.loads(arrays["header"].tobytes())
    say(f"{path} is damaged")
    return None


def _described(variables: Sequence[keras.Variable]) -> list[Any]:
    return [[variable.path, list(variable.shape), variable.dtype] for variable in variables]

"""What the samplers of a run have noted: which GPUs they read, what these do not report, when they began and ended."""

from collections import Counter
from typing import Any, NamedTuple, TypedDict

from launch.record.files import read_lines
from launch.record.rundir import RunDir


class _Note(TypedDict, total=False):
    """A line of readings/node<k>.notes."""

    event: str
    attempt: int
    time: float
    device: str
    field: str
    code: int
    error: str
    missing: dict[str, str]
    gpus: list[dict[str, Any]]


class Notes(NamedTuple):
    """The notes of all nodes."""

    troubles: Counter[str]  # what could not be read, and how often that was noted
    whole: set[str]  # cards that no rank holds, but of which ranks hold instances (MIG)
    ended: set[tuple[int, int]]  # nodes and attempts whose sampler has ended with its ranks
    hangs: list[tuple[int, int, str, float]]  # node, attempt, GPU or "", and when (Unix seconds) it did not answer
    lacking: set[int]  # nodes on which a GPU of a rank could not be read


def read(run: RunDir) -> Notes:
    """Return the notes of a run; empty ones if nothing was read."""
    found = Notes(Counter(), set(), set(), [], set())
    for path in run.readings.glob("node*.notes"):
        number = path.stem.removeprefix("node")
        node = int(number) if number.isdecimal() else -1
        for line in read_lines(path, _Note):
            attempt = line.get("attempt", 0)
            match line.get("event"):
                case "code" if line.get("code"):
                    found.troubles[f"{line.get('field')}: {line.get('error')}"] += 1
                case "began":
                    found.troubles.update(f"{device}: {why}" for device, why in line.get("missing", {}).items())
                    found.lacking.update({node} if line.get("missing") else ())
                    found.whole.update(card["device"] for card in line.get("gpus", []) if card.get("rank") is None)
                case "ended":
                    found.ended.add((node, attempt))
                case "hangs":
                    found.hangs.append((node, attempt, line.get("device", ""), line.get("time", 0.0)))
                case _:
                    pass
    return found

"""That a rank has the GPU that it was given, and that a GPU is not given twice without being asked to."""

import json
import sys
from pathlib import Path

import part
from part import Part

_SEEN = Path(__file__).with_name("seen.py")


def measure(own: Part) -> None:
    """See the module."""
    card = part.card()
    words = ["--gpus-per-node", "1", "--independent", "--sample-hz", "0"]
    done = own.launch("--name", "one", *words, str(_SEEN))
    seen = _of_rank(done.stdout, 0)
    own.row("one rank: exit status", done.returncode)
    own.row("one rank: sees", seen["CUDA_VISIBLE_DEVICES"], note=f"{seen['devices']} device(s) of JAX, {seen['kind']}")
    own.row("one rank: holds the card of NVML", "yes" if card.device in seen["uuids"] else f"no: {seen['uuids']}")

    # Two nodes of this machine, which has one GPU for both.
    done = own.launch("--name", "two", "--nodes", "2", *words, str(_SEEN))
    refused = [line for line in done.stdout.splitlines() if line.startswith("launch: ")]
    own.row("two ranks on one GPU", "refused" if done.returncode == 2 else "NOT refused", note=" ".join(refused[:1]))

    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # or the first takes three quarters of the memory
    done = own.launch("--name", "shared", "--nodes", "2", "--share-gpus", *words, str(_SEEN), **environment)
    both = [_of_rank(done.stdout, rank) for rank in (0, 1)] if not done.returncode else []
    same = bool(both) and all(card.device in seen["uuids"] for seen in both)
    own.row("two ranks on one GPU with --share-gpus", "both use it" if same else f"failed ({done.returncode})")


def _of_rank(printed: str, rank: int) -> dict:
    """What the program has printed on a rank, whose number stands before each line."""
    lines = [line.partition(": ")[2] for line in printed.splitlines() if line.startswith(f"{rank}: {{")]
    if not lines:
        sys.exit(f"rank {rank} has printed nothing")
    return json.loads(lines[-1])


if __name__ == "__main__":
    part.main(measure)

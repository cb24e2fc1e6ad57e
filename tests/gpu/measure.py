"""Runs the parts of tests/gpu/parts one after the other, and puts what they found into one JSON and one Markdown table.

Each part is a process with a time limit of its own, and appends each number to a file as soon as it has it: a part that
crashes, hangs or runs out of time costs neither what it had found nor the other parts. Start it with tests/gpu/run.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "gpu"
ABSENT = 3
"""Exit status of a part for which something is not there, such as a GPU: not a failure."""
_GRACE_S = 5.0  # between the signal that asks a part to end and the one that ends it


_SECONDS = 480.0  # of all parts, for which the limits of each are made


class Part(NamedTuple):
    """A part of the measurements."""

    name: str
    module: str
    seconds: float  # at most; more where all together have more than `_SECONDS`
    words: tuple[str, ...] = ()


PARTS = (
    Part("machine", "machine", 30),
    Part("readings", "readings", 60),
    Part("sampler", "sampler", 30),
    Part("pinning", "pinning", 60),
    Part("torch_twin", "torch_twin", 45),
    *(Part(name, "workload", 60, (name,)) for name in ("mnist", "cfd_resnet", "climate", "tabular")),
    *(Part(f"full_{name}", "full_size", 60, (name,)) for name in ("cfd_resnet", "deepcam", "tiramisu")),
    Part("training", "training", 480),
)


def main(argv: list[str]) -> int:
    """Measure; the exit status is 1 if a part failed."""
    args = _parser().parse_args(argv)
    if unknown := set(args.parts) - {part.name for part in PARTS}:
        print(f"tests/gpu/run: no part {', '.join(sorted(unknown))}: give some of", *(part.name for part in PARTS))
        return 2
    parts = [part for part in PARTS if not args.parts or part.name in args.parts]
    if args.out.exists() and any(args.out.iterdir()):
        print(f"tests/gpu/run: {args.out} is not empty: give another folder as --out")
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(unpacked())])}
    environment.setdefault("XDG_CACHE_HOME", str(ROOT / ".cache"))
    environment["KERAS_BACKEND"] = "jax"  # for what imports Keras before an engine was chosen
    end, found = time.monotonic() + args.seconds, []
    for part in parts:
        left = end - time.monotonic()
        found.append(run(part, args, left, environment) if left > 1 else _result(part, args, "no time was left", 0))
        print(f"{part.name:12} {found[-1]['seconds']:6.1f} s  {found[-1]['outcome']}", flush=True)
        (args.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
        (args.out / "gpu.md").write_text(table(found))
    print(f"\n{table(found)}\nin {args.out}: gpu.json, gpu.md, and what each part printed")
    return int(any(result["outcome"].startswith("failed") for result in found))


def unpacked() -> Path:
    """A folder with those packages of the wheels of tests/gpu/collect that this Python lacks."""
    folder = CACHE / f"packages-{sys.version_info.major}.{sys.version_info.minor}"
    for wheel in sorted((CACHE / "wheels").glob("*.whl")):
        name = re.split(r"-\d", wheel.name)[0]
        there = (folder / f"{'-'.join(wheel.name.split('-')[:2])}.dist-info").exists()
        try:
            importlib.metadata.version(name.replace("_", "-"))
        except importlib.metadata.PackageNotFoundError:
            if not there:
                zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run(part: Part, args: argparse.Namespace, left: float, environment: dict[str, str]) -> dict[str, Any]:
    """Run a part in a process of its own; what it found, and how it ended."""
    seconds, began = min(part.seconds * max(1.0, args.seconds / _SECONDS), left), time.monotonic()
    words = [str(HERE / "parts" / f"{part.module}.py"), str(args.out / f"{part.name}.jsonl"), f"{seconds:.0f}"]
    with open(args.out / f"{part.name}.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, *words, *(["--tiny"] if args.tiny else []), *part.words],
            cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        for number in (signal.SIGTERM, signal.SIGKILL):  # what it has started as well, however it ended
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                continue
    last = (args.out / f"{part.name}.log").read_text(errors="replace").strip().rpartition("\n")[2]
    if status is None:
        outcome = f"stopped after its {seconds:.0f} s"
    elif status == ABSENT:
        outcome = f"not measured: {last}"
    else:
        outcome = "done" if status == 0 else f"failed (exit status {status}): {last}"
    return _result(part, args, outcome, time.monotonic() - began)


def table(found: list[dict[str, Any]]) -> str:
    """All numbers in Markdown, and a row for each part that is not done."""
    lines = ["| part | what | value | unit | note |", "|---|---|---|---|---|"]
    for result in found:
        for row in result["rows"]:
            value = row["value"] if isinstance(row["value"], str) else f"{row['value']:.4g}"
            lines.append(f"| {result['part']} | {row['what']} | {value} | {row['unit']} | {row['note']} |")
        if result["outcome"] != "done":
            lines.append(f"| {result['part']} | | | | {result['outcome'].replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def _result(part: Part, args: argparse.Namespace, outcome: str, seconds: float) -> dict[str, Any]:
    path = args.out / f"{part.name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]  # the last may have been cut short
    return {"part": part.name, "outcome": outcome, "seconds": round(seconds, 1), "tiny": args.tiny, "rows": rows}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/gpu/run", description="Measure the toolkit on one NVIDIA GPU.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(part.name for part in PARTS))
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "runs" / f"gpu-{time.strftime('%Y%m%d-%H%M%S')}",
        help="folder for the results, new or empty [runs/gpu-TIME]",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=_SECONDS,
        help="that all parts together may take; above it, each may take longer too [480]",
    )
    parser.add_argument("--tiny", action="store_true", help="sizes for a look at whether it runs, not for numbers")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

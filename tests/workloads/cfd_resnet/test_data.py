"""The cache of flows: made once by whoever is there, whole after kills and damage, shared by an array's tasks."""

import dataclasses
import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from launch.errors import Refusal
from launch.node import stop
from workloads.cfd_resnet.data import SIZES, FlowSet, flows, main
from workloads.cfd_resnet.generate import PART, Damaged, read, record_type, write
from workloads.data.claims import STALE_SECONDS, Claims, Core
from workloads.data.pieces import Piece, share

ROOT = Path(__file__).resolve().parents[3]
# Two parts for training, one for validation; single obstacles at a low Reynolds number are steady soon.
TINY = FlowSet(
    height=16, width=32, length=40, train=PART + 4, validation=4, test=4, obstacles=1, reynolds=16.0, u_max=0.1
)  # fmt: skip
OPTIONS = [
    "--size=small", "--height=16", "--width=32", "--length=40", f"--train={PART + 4}", "--validation=4", "--test=4", "--obstacles=1",
    "--reynolds=16",
]  # fmt: skip


def generator(folder: Path, *more: str, **environment: str) -> subprocess.Popen:
    """A process that makes the tiny set."""
    command = [sys.executable, "-m", "workloads.cfd_resnet.data", *OPTIONS, f"--folder={folder}", *more]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    return subprocess.Popen(
        command, cwd=ROOT, env=clean | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(condition, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The tiny set, as two processes that started together have made it."""
    folder = tmp_path_factory.mktemp("flows")
    log = folder / "made.log"
    # Each process notes the parts that it makes.
    environment = {"LAUNCH_TEST_LOG": str(log)}
    script = (
        "import os, sys, workloads.cfd_resnet.generate as g\n"
        "make = g.make\n"
        "def noted(parameters, split, indices, *rest):\n"
        "    open(os.environ['LAUNCH_TEST_LOG'], 'a').write(f'{split} {indices.start}\\n')\n"
        "    return make(parameters, split, indices, *rest)\n"
        "g.make = noted\n"
        "from workloads.cfd_resnet.data import main\n"
        f"main({[*OPTIONS, f'--folder={folder}']!r})\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in both:
        errors = process.communicate(timeout=150)[1]
        assert process.returncode == 0, errors.decode()
    return folder


def test_processes_that_start_together_make_each_part_once(made):
    assert sorted((made / "made.log").read_text().splitlines()) == [
        "test 0",
        "train 0",
        f"train {PART}",
        "validation 0",
    ]
    assert not list(made.rglob("*.claim*")), "a claim is left"


def test_flows_are_what_the_contract_says(made):
    train, validation = (flows(TINY, split, folder=made) for split in ("train", "validation"))
    assert len(train) == TINY.train and len(validation) == TINY.validation
    assert train.mask.shape == (TINY.train, 16, 32, 1) and train.mask.dtype == np.uint8
    assert train.flow.shape == (TINY.train, 16, 32, 2) and train.flow.dtype == np.float32
    assert train.drag.shape == train.lift.shape == (TINY.train,)
    assert not train.flow.flags.writeable
    assert train.reynolds == pytest.approx(16) and train.nu == pytest.approx(0.1)
    assert set(np.unique(train.mask)) == {0, 1}
    assert (train.flow[np.broadcast_to(train.mask, train.flow.shape) == 1] == 0).all()
    assert (train.drag > 0).all()
    columns = train.flow[..., 0].sum(axis=1)
    assert columns == pytest.approx(np.full(columns.shape, 16 * 2 / 3), rel=5e-3), (
        "not every column carries the inlet's flow"
    )


def test_no_shape_is_in_two_sets(made):
    sets = [
        {mask.tobytes() for mask in flows(TINY, split, folder=made).mask} for split in ("train", "validation", "test")
    ]
    assert len(set.union(*sets)) == sum(map(len, sets))


def test_a_smaller_set_is_the_beginning_of_a_larger_and_is_not_made_again(made):
    small = flows(
        dataclasses.replace(TINY, train=PART), "train", folder=made, progress=pytest.fail
    )  # of a part that is there
    assert (small.flow == flows(TINY, "train", folder=made).flow[:PART]).all()


def test_flows_that_are_there_are_read_without_tensorflow(made):
    code = (
        "import sys, pathlib\nfrom workloads.cfd_resnet.data import *\n"
        "assert 'numpy' not in sys.modules, 'imported with the module'\n"
        f"flows(FlowSet(**{dataclasses.asdict(TINY)!r}), 'train', folder=pathlib.Path({str(made)!r}))\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_told_and_made_again(made, damage):
    before = np.array(flows(TINY, "train", folder=made).flow)
    path = next(made.glob("train-*/flows-20.npy"))
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[len(content) // 2] ^= 1
    path.unlink()  # others may have it mapped
    path.write_bytes({"cut": content[:-1000], "changed": content, "empty": b""}[damage])
    lines = []
    again = flows(TINY, "train", folder=made, progress=lines.append)
    assert (again.flow == before).all()
    assert any("is cut short or has changed since it was written: making it again" in line for line in lines)


def test_a_damaged_part_alone_is_computed_again(made):
    before = np.array(flows(TINY, "train", folder=made).flow)
    folder = next(made.glob("train-*"))
    (folder / f"flows-{TINY.train}.npy").unlink()
    part = folder / "part-00001-first-4.npy"
    other = (folder / "part-00000.npy").stat().st_mtime_ns
    part.write_bytes(part.read_bytes()[:100])
    lines = []
    again = flows(TINY, "train", folder=made, progress=lines.append)
    assert again.flow == pytest.approx(before, abs=1e-5)
    assert any("part-00001-first-4.npy is cut short" in line for line in lines)
    assert (folder / "part-00000.npy").stat().st_mtime_ns == other


def test_a_killed_generators_work_is_taken_over(tmp_path):
    first = generator(tmp_path)
    claim = wait_for(lambda: [path for path in tmp_path.rglob("*.claim0") if path.read_text()])[0]
    waiting = Claims(claim.parent)
    name = claim.name.removesuffix(".claim0")
    assert waiting.take(name) is None, "a living owner lost its claim"
    assert waiting.done(name) == 0
    first.kill()
    first.wait()
    taken = waiting.take(name)
    assert taken and claim.with_suffix(".claim1").exists()
    taken.release()
    assert not list(claim.parent.glob(f"{name}.claim*"))
    second = generator(tmp_path)
    assert second.wait(timeout=600) == 0, second.stdout.read()
    assert not list(tmp_path.rglob("*.claim*"))


@pytest.mark.parametrize("call", ["open", "pwrite", "link", "unlink"])
def test_an_owner_that_is_killed_while_it_makes_its_claim_delays_nobody(tmp_path: Path, call: str):
    child = os.fork()
    if not child:
        setattr(os, call, lambda *words, **options: os.kill(os.getpid(), signal.SIGKILL))
        Claims(tmp_path).take("part-00000")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    taken = Claims(tmp_path).take("part-00000")
    assert taken is not None
    taken.release()
    assert not list(tmp_path.iterdir())


def test_where_files_cannot_be_linked_a_claim_is_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    claims = Claims(tmp_path)
    claim = claims.take("part-00000")
    assert claim and claims.take("part-00000") is None and json.loads((tmp_path / "part-00000.claim0").read_text())
    claim.beat(3)
    assert claims.done("part-00000") == 3
    claim.release()
    assert not list(tmp_path.iterdir())


def test_a_stopped_generator_leaves_no_claim_and_asks_to_be_resumed(tmp_path):
    process = generator(tmp_path)
    wait_for(lambda: list(tmp_path.rglob("*.claim0")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == stop.STOPPED
    assert not list(tmp_path.rglob("*.claim*"))


def test_a_claim_that_its_owner_has_yet_to_fill_is_a_claim(tmp_path: Path):
    (tmp_path / "part-00000.claim0").touch()  # made, and not yet written: another process may look just then
    claims = Claims(tmp_path)
    assert claims.done("part-00000") == 0
    assert claims.take("part-00000") is None


def test_the_claim_of_another_node_falls_when_it_does_not_change(tmp_path, monkeypatch):
    claim = {"node": "another", "pid": 1, "done": 3, "beat": 1}
    path = tmp_path / "part-00000.claim4"
    path.write_text(json.dumps(claim))
    now = 0.0
    monkeypatch.setattr("workloads.data.claims.time", types.SimpleNamespace(monotonic=lambda: now))
    claims = Claims(tmp_path)
    assert claims.take("part-00000") is None and claims.done("part-00000") == 3
    now += STALE_SECONDS - 1
    path.write_text(json.dumps(claim | {"beat": 2}))
    assert claims.take("part-00000") is None
    now += STALE_SECONDS - 1
    assert claims.take("part-00000") is None, "its owner lives"
    now += 2
    taken = claims.take("part-00000")
    assert taken and (tmp_path / "part-00000.claim5").exists()
    taken.release()
    assert not list(tmp_path.iterdir())


def test_no_more_compute_than_there_are_cores(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cores = [Core.take() for _ in os.sched_getaffinity(0)]
    assert None not in cores and Core.take() is None
    cores[0].release()
    again = Core.take()
    assert again is not None
    for core in [*cores[1:], again]:
        core.release()


@pytest.mark.parametrize("mode", [0o777, 0o700])
def test_a_folder_of_locks_that_others_may_write_to_is_not_used(tmp_path, monkeypatch, mode):
    shared = tmp_path / f"rankloop-cores-{os.getuid()}"
    if mode == 0o700:  # the user's own, but found through a link of another
        (tmp_path / "own").mkdir(mode)
        shared.symlink_to("own")
    else:
        shared.mkdir()
        shared.chmod(mode)
        for core in os.sched_getaffinity(0):
            (shared / str(core)).symlink_to(tmp_path / f"made-{core}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    core = Core.take()
    assert core is not None and not list(tmp_path.glob("made-*")) and not list(tmp_path.glob("own/*"))
    core.release()


def test_all_that_flows_depend_on_is_in_the_key(tmp_path):
    def folder(**changes) -> Path:
        from workloads.cfd_resnet.data import _files

        return _files(dataclasses.replace(TINY, **changes), "train", tmp_path, print)[0]

    assert folder() == folder(validation=5) == folder(train=64), "a flow does not depend on how many there are"
    different = [folder(**{name: 2 * getattr(TINY, name) or 7}) for name in ("height", "width", "length", "u_max")]
    different += [folder(**{name: 2 * getattr(TINY, name) or 7}) for name in ("reynolds", "obstacles", "seed")]
    assert len({folder(), *different}) == 8


def test_records_are_mapped_and_checked(tmp_path):
    records = np.zeros(3, record_type(4, 6))
    records["drag"] = 1, 2, 3
    path = tmp_path / "records.npy"
    write(path, records)
    found = read(path, records.dtype, 3)
    assert isinstance(found, np.memmap) and (found["drag"] == (1, 2, 3)).all()
    assert (np.load(path)["drag"] == (1, 2, 3)).all(), "numpy cannot read it"
    with pytest.raises(Damaged, match="another size or number"):
        read(path, record_type(4, 7), 3)


REFUSED = {
    "--height 8": "option --height: '8' is not a whole number of 16 or more",
    "--width 10": r"cannot have --width 10: give the height \(32\) or more",
    "--length 40": r"cannot have --length 40: give the width \(64\) or more",
    "--train 0": "option --train: '0' is not a whole number of 1 or more",
    "--u-max 0.5": "option --u-max: '0.5' is not a number above 0 and at most 0.15",
    "--reynolds -1": "--reynolds",
    "--obstacles 0": "option --obstacles: '0' is not",
    "--hieght 16": "unknown option --hieght: did you mean '--height'",
    "--size medium": "option --size: 'medium' is not one of",
    "--train many": "'many' is not a whole number",
    "--masks nowhere": "the folder of masks nowhere cannot be read",
    "extra": "'extra' is not an option",
}


@pytest.mark.parametrize("options", REFUSED)
def test_what_cannot_be_simulated_is_refused(options, tmp_path):
    with pytest.raises(Refusal, match=REFUSED[options]) as refused:
        main(["--size", "small", "--folder", str(tmp_path), *options.split()])
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    process = generator(tmp_path / "file")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert "cannot be used" in output and "set XDG_CACHE_HOME" in output and "Traceback" not in output


def test_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert not ended.value.code
    text = capsys.readouterr().out
    assert "--reynolds" in text and "--size full|small" in text


def test_the_full_set_follows_the_published_layout():
    # 128 x 256 kept of 384 x 128 cells, u_max 0.1, nu 0.05, 3,000 for training: FACTS of the published set.
    full = SIZES["full"]
    assert (full.height, full.width, full.length, full.train) == (128, 256, 384, 3000)
    assert full.nu == pytest.approx(0.05)


def test_cars_are_a_validation_set(tmp_path, made, shared_data):
    cars = tmp_path / "cars"
    cars.mkdir()
    for number in (1, 2):
        name = f"car_{number:03d}.txt"
        (cars / name).write_text((shared_data / "cfd" / "cars" / name).read_text())
    parameters = dataclasses.replace(TINY, masks=cars)
    found = flows(parameters, "validation", folder=made)
    assert len(found) == 2 and found.mask[:, -2:].any(axis=(1, 2, 3)).all()
    assert len(flows(parameters, "train", folder=made)) == TINY.train, "the training set is another"


def test_who_waits_says_so(tmp_path: Path):
    holder = Claims(tmp_path)
    held = holder.take("part-00000")
    path = tmp_path / "part-00000.npy"
    piece = Piece("part-00000", 2, [path], lambda beat: pytest.fail("made what another makes"))
    seen = []

    def news(done: int, total: int, making: bool) -> None:
        seen.append((done, total, making))
        path.touch()

    held.beat(1)
    share(tmp_path, [piece], news)
    assert seen == [(1, 2, False)]
    held.release()


def test_a_piece_that_cannot_be_made_stops_the_others_and_leaves_no_claim(tmp_path: Path):
    begun, halted = threading.Event(), []

    def endless(beat: Callable[[int], None]) -> None:
        begun.set()
        try:
            for done in itertools.count():
                beat(done)
                time.sleep(0.01)
        except BaseException:
            halted.append(True)
            raise

    def impossible(beat: Callable[[int], None]) -> None:
        assert begun.wait(60)
        raise Refusal("it cannot be made")

    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core")
    pieces = [Piece(make.__name__, 1, [tmp_path / make.__name__], make) for make in (endless, impossible)]
    with pytest.raises(Refusal, match="it cannot be made"):
        share(tmp_path, pieces, lambda *counts: None, threads=2)
    assert halted == [True]
    assert not list(tmp_path.iterdir())

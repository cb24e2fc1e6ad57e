"""Checkpoints: what is written comes back, what was altered is not taken for it."""

import errno
import itertools
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from launch.errors import Refusal
from workloads.training import checkpoints


def variables(width: int = 3) -> list[keras.Variable]:
    random = np.random.default_rng(width)
    return [
        keras.Variable(random.normal(size=(2, width)), dtype="float32", name="kernel"),
        keras.Variable(random.normal(size=width), dtype="bfloat16", name="half"),
        keras.Variable(np.array([5, 7]), dtype="int64", name="state"),
        keras.Variable(1.5, dtype="float64", name="scalar"),
    ]


def test_what_was_saved_comes_back_to_the_bit(tmp_path: Path):
    saved = variables()
    path = checkpoints.save(tmp_path / "new", 12, saved, {"note": [1, "two"]}, keep=1)
    found = checkpoints.latest(path.parent)
    assert (found.step, found.header["note"]) == (12, [1, "two"])
    restored = [keras.Variable(np.zeros(v.shape), dtype=v.dtype) for v in saved]
    checkpoints.restore(found, restored, "horovod")
    for old, new in zip(saved, restored):
        assert np.asarray(old).tobytes() == np.asarray(new).tobytes()


def test_the_last_few_are_kept(tmp_path: Path):
    for step in (1, 9, 10, 100):
        checkpoints.save(tmp_path, step, variables(), {}, keep=2)
    assert [path.name for path in checkpoints.files(tmp_path)] == ["step-10.npz", "step-100.npz"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a checkpoint."""
    return checkpoints.save(tmp_path_factory.mktemp("whole"), 3, variables(), {}, keep=1).read_bytes()


def test_a_file_with_any_bit_altered_is_refused_or_says_the_same(tmp_path: Path, content: bytes):
    """Some bits of a zip mean nothing (dates, for one), so that their change need not be noticed."""
    wanted = [np.asarray(variable).tobytes() for variable in variables()]
    path = tmp_path / "step-3.npz"
    refused = 0
    for where, bit in itertools.product(range(len(content)), (0, 3, 7)):
        altered = bytearray(content)
        altered[where] ^= 1 << bit
        path.write_bytes(altered)
        try:
            found = checkpoints.load(path)
        except checkpoints.DAMAGE:
            refused += 1
        else:
            assert [value.tobytes() for value in found.values] == wanted
    assert refused > 3 * len(content) / 2


def test_a_file_that_was_cut_short_anywhere_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "step-3.npz"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(checkpoints.DAMAGE):
            checkpoints.load(path)


def test_a_damaged_one_is_moved_aside_and_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for step in (4, 5, 6):
        checkpoints.save(tmp_path, step, variables(), {}, keep=3)
    (tmp_path / "step-6.npz").write_bytes(b"")
    (tmp_path / "step-5.npz").write_bytes(b"PK\x03\x04 but no more")
    assert checkpoints.latest(tmp_path).step == 4
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "step-6.npz is damaged" in said[0] and "step-5.npz is damaged" in said[1]
    assert checkpoints.latest(tmp_path).step == 4
    assert capsys.readouterr().out == ""


def test_where_all_are_damaged_no_run_begins_again_unasked(tmp_path: Path):
    checkpoints.save(tmp_path, 6, variables(), {}, keep=1).write_bytes(b"PK")
    for _ in range(2):  # resumed, and again
        with pytest.raises(Refusal, match="no checkpoint .* is whole, step-6.damaged"):
            checkpoints.latest(tmp_path)
    (tmp_path / "step-6.damaged").unlink()
    assert checkpoints.latest(tmp_path) is None


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES, errno.ENOENT])
@pytest.mark.parametrize("what", ["read_bytes", "listdir"])
def test_a_moment_in_which_nothing_can_be_read_demotes_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str
):
    for step in (10, 20):
        checkpoints.save(tmp_path, step, variables(), {}, keep=2)
    holder = Path if what == "read_bytes" else os
    read, failures = getattr(holder, what), iter([OSError(number, os.strerror(number))] * 2)

    def fails_twice(path: Path) -> bytes | list[str]:
        for failure in failures:
            raise failure
        return read(path)

    monkeypatch.setattr(checkpoints, "PAUSES_S", (0.001,) * 3)
    if (what, number) != ("listdir", errno.ENOENT):  # no folder: no checkpoint was ever written
        monkeypatch.setattr(holder, what, fails_twice)
    assert checkpoints.latest(tmp_path).step == 20
    assert len(checkpoints.files(tmp_path)) == 2


def test_a_checkpoint_that_stays_unreadable_ends_the_attempt_and_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpoints, "PAUSES_S", (0.001,) * 3)
    checkpoints.save(tmp_path, 10, variables(), {}, keep=2)
    (tmp_path / "step-20.npz").mkdir()
    with pytest.raises(Refusal, match=r"step-20.npz cannot be read \(Is a directory\)"):
        checkpoints.latest(tmp_path)
    assert len(checkpoints.files(tmp_path)) == 2


def test_none_at_all(tmp_path: Path):
    assert checkpoints.latest(tmp_path) is None
    assert checkpoints.latest(tmp_path / "absent") is None


def test_another_network_is_refused_and_nothing_assigned(tmp_path: Path):
    checkpoints.save(tmp_path, 1, variables(3), {}, keep=1)
    found, others = checkpoints.latest(tmp_path), variables(4)
    before = [np.asarray(v).tobytes() for v in others]
    with pytest.raises(Refusal, match=r"its kernel \(2 x 3, float32\) is now kernel \(2 x 4, float32\)"):
        checkpoints.restore(found, others, "horovod")
    with pytest.raises(Refusal, match="4 variables, now 3"):
        checkpoints.restore(found, variables(3)[:3], "horovod")
    assert [np.asarray(v).tobytes() for v in others] == before


def test_a_state_that_does_not_fit_another_engine_is_refused_by_the_name_of_its_own(tmp_path: Path):
    """Keras counts steps in 64 bits with TensorFlow, in 32 with JAX."""
    import keras

    def count(value: int, dtype: str) -> list[keras.Variable]:
        return [keras.Variable(np.array(value), dtype=dtype, name="iteration")]

    checkpoints.save(tmp_path, 5, count(5, "int64"), {"engine": "horovod"}, keep=1)
    counted = count(0, "int32")
    checkpoints.restore(checkpoints.latest(tmp_path), counted, "jax")
    assert counted[0].numpy() == 5
    checkpoints.save(tmp_path, 2**40, count(2**40, "int64"), {"engine": "horovod"}, keep=1)
    with pytest.raises(Refusal, match="too large for int32; --engine horovod made it, .*: go on with --engine horovod"):
        checkpoints.restore(checkpoints.latest(tmp_path), counted, "jax")
    with pytest.raises(Refusal, match="1 variables, now 2; --engine horovod made it, .* does not fit --engine jax"):
        checkpoints.restore(checkpoints.latest(tmp_path), [*counted, *counted], "jax")
    assert counted[0].numpy() == 5

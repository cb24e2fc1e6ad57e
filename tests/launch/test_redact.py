"""Secrets are found by name, by form and by entropy; what only looks odd is left alone."""

import base64
import random
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.record.redact import HIDDEN, is_random, is_secret, redact, redact_variables, redact_words

BASE64 = string.ascii_letters + string.digits + "+/"
ALPHABETS = {
    "letters and digits": BASE64[:62],
    "base64": BASE64,
    "url-safe": BASE64[:62] + "-_",
    "hex": "0123456789abcdef",
}
# What a job on a supercomputer has around it; none of it is a secret.
ORDINARY = """
/opt/cray/pe/mpich/8.1.25/ofi/nvidia/20.7/lib:/opt/cray/pe/gcc-libs:/opt/nvidia/hpc_sdk/Linux_x86_64/22.7/cuda/11.7/lib64
/global/common/software/nersc9/tensorflow/2.15.0/lib/python3.11/site-packages/nvidia/cudnn/lib
/sw/spack/opt/linux-rhel8-power9le/gcc-12.2.0/openmpi-4.1.4-qp3x7m2n5k6v4w7yzt2hx5jd3rbcl6ga/lib
/lustre/orion/abc123/scratch/user/runs/cfd_resnet-n16-20261124-020925
nid[001234-001250,002001] 4(x16) cluster:10.128.0.2:6817:9728:109 x1000c0s0b0n0
--xla_gpu_cuda_data_dir=/usr/local/cuda-12.2 --xla_gpu_enable_async_all_reduce=true cuda_malloc_async
GPU-5fb1f8a3-0c55-9a55-6c2f-1d2e3f4a5b6c,GPU-0a1b2c3d-1111-2222-3333-444455556666
craype-accel-nvidia80:PrgEnv-nvidia/8.3.3:cray-mpich/8.1.25:cudatoolkit/11.7:cray-python/3.9.13.1
HorovodInternalError ResourceExhaustedError mlx5_0:1,mlx5_1:1 hsn0,hsn1,hsn2,hsn3 bond0.2001
""".split()


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(ALPHABETS)),
    st.integers(32, 88),
    st.integers(0, 2**32),
    st.sampled_from(["", "Bearer ", "a=b:"]),
)
def test_what_was_drawn_is_found_wherever_it_stands(alphabet: str, length: int, seed: int, before: str):
    dice = random.Random(seed)
    secrets = ["".join(dice.choices(ALPHABETS[alphabet], k=length)) for _ in range(20)]
    found = [redact(f"{before}{secret}") for secret in secrets]
    # Chance alone makes some look written: one of a thousand, of those of 32 characters.
    assert sum(HIDDEN not in text for text in found) <= 1


@pytest.mark.parametrize("word", ORDINARY)
def test_what_stands_in_a_job_is_left_alone(word: str):
    assert redact(word) == word


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",  # the examples of AWS's own documentation
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "ghp_" + "0a1B2c3D4e" * 4,
        "glpat-" + "ab_CD-12" * 3,
        "hf_" + "aBcDeFgHiJ" * 3 + "kLmN",
        "sk-" + "proj-0123456789abcdef01",
        "xoxb-" + "1234567890-abcdef",
        "eyJhbGciOiJIUzI1NiJ9." + base64.b64encode(b'{"sun":"me"}').decode().rstrip("=") + ".c2lnbmF0dXJl",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\nbnNz\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_the_forms_of_known_issuers(secret: str):
    for text in (secret, f"x {secret} y", f'"{secret}"', f"https://host/?q={secret}"):
        kept = redact(text, source=not secret.startswith("wJ"))
        assert HIDDEN in kept and secret not in kept and secret[5:] not in kept
        assert kept.startswith(text[: text.index(secret)])


def test_a_password_in_a_url():
    assert redact("https://me:hunter2@host:8080/simple") == f"https://{HIDDEN}@host:8080/simple"
    assert redact("http://10.0.0.1:3128/ git@host:me/code.git") == "http://10.0.0.1:3128/ git@host:me/code.git"


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["TOKEN", "key", "Secret", "PASSWORD", "passwd", "CREDENTIAL", "JWT"]),
    st.from_regex(r"[A-Z_]{0,8}", fullmatch=True),
    st.text(),
)
def test_a_variable_with_such_a_name_is_hidden_whatever_it_holds(word: str, around: str, value: str):
    name = f"{around}{word}{around}"
    assert is_secret(name)
    assert redact_variables({name: value, "OMP_NUM_THREADS": "4"}) == {name: HIDDEN, "OMP_NUM_THREADS": "4"}


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--api-key", "hunter2", "--width", "64"], ["--api-key", HIDDEN, "--width", "64"]),
        (["--password=hunter2"], [f"--password={HIDDEN}"]),
        (["--wandb_token=x", "-v"], [f"--wandb_token={HIDDEN}", "-v"]),
        (["--max-token", "512", "--token=7"], ["--max-token", "512", "--token=7"]),
        (["--tokenizer", "bert", "--sort-key", "loss"], ["--tokenizer", "bert", "--sort-key", "loss"]),
        (["--secret", "--next"], ["--secret", "--next"]),
    ],
)
def test_command_lines(words: list[str], kept: list[str]):
    assert redact_words(words) == kept


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ('+password = "hunter2!"', f'+password = "{HIDDEN}"'),
        ("+    'api_key': 'abcdef',", f"+    'api_key': '{HIDDEN}',"),
        ("+AWS_SECRET_ACCESS_KEY=abcdef", f"+AWS_SECRET_ACCESS_KEY={HIDDEN}"),
        ('+KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', f'+KEY = "{HIDDEN}"'),
        ('+pad_token = "[PAD]"', None),
        ("+    data = base64('x9Kd02LmQpR7sT1vW3yZ5bC8eF" + "x9Kd02LmQpR7sT1vW3yZ5bC8eF" * 3 + "')", None),
        ("+token = tokenizer.next()", None),
        ('+token = "$TOKEN"', None),
        ("+    sha256 = '3f786850e387550fdab836ed7e6dc881de23001b0a1b2c3d4e5f60718293a4b5'", None),
    ],
)
def test_source_code_loses_what_is_assigned_to_such_a_name_and_nothing_else(line: str, kept: str | None):
    assert redact(line, source=True) == (kept or line)


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_what_was_redacted_once_stays_as_it_is(text: str):
    assert redact(redact(text)) == redact(text)


@settings(deadline=None, max_examples=200)
@given(st.text(string.ascii_lowercase + "-_/", max_size=80))
def test_words_of_small_letters_are_never_random(word: str):
    assert not is_random(word)


def test_the_lines_of_a_text_stay_its_lines():
    text = "a\n" + "x9Kd02LmQpR7sT1vW3yZ5bC8eF" + "\nb\n"
    assert re.sub(re.escape(HIDDEN), "", redact(text)) == "a\n\nb\n"

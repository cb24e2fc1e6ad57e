"""Secrets are found by name, by form and by entropy; what only looks odd is left alone."""

import base64
import random
import shlex
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.record.redact import HIDDEN, is_random, is_secret, without_secrets

BASE64 = string.ascii_letters + string.digits + "+/"
ALPHABETS = {"letters and digits": BASE64[:62], "base64": BASE64, "url-safe": BASE64[:62] + "-_"}
SECRET = "hunter2"

# Ways to write a secret, each in a text, and as words where it is a command line.
SPELLINGS = (
    r"""
password: hunter2|password:hunter2|password = "hunter2"|'password': b'hunter2'|password = f"hunter2"|password = rb'hunter2'
db_password: str = "hunter2"|password="""
    + '"""hunter2"""'
    + r"""|kwargs["password"]="hunter2"|if password == "hunter2"
set_password("hunter2")|setPassword('hunter2')|client.login(password="hunter2")|auth.set_token( "hunter2" )|wandb.login("hunter2")
Bearer hunter2|Authorization: Bearer hunter2|"Authorization": "Bearer hunter2"|-H "Authorization: token hunter2"|x-api-key: hunter2
postgres://somebody:hunter2@host/db|redis://:hunter2@h|mysql://me:p@hunter2@host:3306/x|https://me:hunter2@host:8080/simple
--db-password hunter2|--db-password=hunter2|-password hunter2|--token hunter2|--wandb-key hunter2|--auth hunter2|--hub_token=hunter2
API_KEY=hunter2|export OPENAI_API_KEY="hunter2"|WANDB_API_KEY=hunter2 python x.py|?token=hunter2&x=1|access_token=hunter2
apiKey: hunter2|clientSecret: "hunter2"|AccountKey=hunter2;EndpointSuffix=x|Uid=sa;Pwd=hunter2;|passphrase: hunter2|pass: hunter2
PGPASSWORD=hunter2|MYSQL_PWD=hunter2|REDISCLI_AUTH=hunter2|creds: hunter2|jwt=hunter2|cookie: hunter2|SSHPASS=hunter2
aws_secret_access_key = hunter2|{"password":"hunter2"}|{\"password\": \"hunter2\"}|<password>hunter2</password>|"token" => "hunter2"
os.environ["WANDB_API_KEY"] = "hunter2"|spring.datasource.password=hunter2|API_KEY_2=hunter2|DB_PASSWORD_TEST=hunter2|login: hunter2
"""
)
NAMES = """
DB_PASS SMTP_PASS FTP_PWD MYSQL_PWD REGISTRY_AUTH NPM_AUTH DOCKER_CREDS VPN_LOGIN WANDB_API_KEY HF_TOKEN NCCL_SECRET X_PASSWD
X_PASSPHRASE GOOGLE_CREDENTIAL AZURE_CREDENTIALS SLURM_JWT APIKEY ApiKey dbPassword clientSecret AUTHTOKEN REFRESH_TOKEN TOKEN KEY
SECRET PASSWORD PASS AUTH LOGIN CREDS SSH_PRIVATE_KEY ENCRYPTION_KEY SECRET_KEY_BASE STRIPE_KEY PGPASSWORD SSHPASS LDAP_BINDPW
KEYSTORE_PASSWORD TOKEN2 DATABASE_PASSWORD_PROD API_KEY_OPENAI
""".split()

# What a job on a supercomputer has around it, a line each; none of it is a secret.
ORDINARY = r"""
best run: n1-width512-dropout0.2-optimizeradam-lr0.002-r1 (0.9874)
--tokenizer bert-base-uncased
--tokenizer=meta-llama/Llama-3.1-8B-Instruct
--max-tokens 512 --max_new_tokens=128 --pad-token [PAD] --eos-token=</s> --pad-token-id 0 --token=7
--sort-key loss --key-dim 64 --image-key image --label-key label_0 --monitor-key val_loss --public-key id_rsa.pub --keys a,b
--pass 2 --num-passes 4 --bypass-cache yes --first-pass yes --author bob --auth none --auth-method kerberos --login-node nid001
--pwd /home/user/run --password-file /home/u/.pw --password-length 12 --api-key-env OPENAI_API_KEY --use-auth-token True --secretary x
--api-key $OPENAI_API_KEY
--api-key ${OPENAI_API_KEY} --credentials-path /home/u/creds.json --cookie-policy strict --pw 30.0 --signature serving_default
3f786850e387550fdab836ed7e6dc881de23001b --revision 607a30d783dfa663caf39e06633721c8d4cfcd7e
image@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= 550e8400-e29b-41d4-a716-446655440000 D41D8CD98F00B204E9800998ECF8427E
/home/user/.cache/huggingface/hub/models--bert/snapshots/86b5e0934494bd15c9632b12f734a8a67f723594/config.json
/lustre/orion/abc123/scratch/user/runs/cfd_resnet-n16-20261124-020925 /tmp/tmpab12cd34/file.py
s3://bucket/year=2026/month=11/part-00000-of-00128.parquet git@github.com:owner/repo.git http://10.0.0.1:3128/ user@host.org
/opt/cray/pe/mpich/8.1.25/ofi/nvidia/20.7/lib:/opt/cray/pe/gcc-libs:/opt/nvidia/hpc_sdk/Linux_x86_64/22.7/cuda/11.7/lib64
/sw/spack/opt/linux-rhel8-power9le/gcc-12.2.0/openmpi-4.1.4-qp3x7m2n5k6v4w7yzt2hx5jd3rbcl6ga/lib
nid[001234-001250,002001] 4(x16) cluster:10.128.0.2:6817:9728:109 x1000c0s0b0n0 mask_cpu:0xfe000000000000,0xfe00000000000000
--xla_gpu_cuda_data_dir=/usr/local/cuda-12.2 --xla_gpu_enable_async_all_reduce=true cuda_malloc_async
GPU-5fb1f8a3-0c55-9a55-6c2f-1d2e3f4a5b6c,GPU-0a1b2c3d-1111-2222-3333-444455556666 mlx5_0:1,mlx5_1:1
craype-accel-nvidia80:PrgEnv-nvidia/8.3.3:cray-mpich/8.1.25:cudatoolkit/11.7 Linux-5.14.0-362.el9.x86_64-x86_64-with-glibc2.34
HorovodInternalError QOSMaxSubmitJobPerUserLimit ResNet50V2WithBatchNormalizationAndDropout DeepSeek-R1-Distill-Qwen-32B-AWQ-INT4
model.encoder.layers.11.self_attention.query_key_value.weight train_batch_size_64_lr_0.001 efficientnetv2_rw_s.ra2_in1k
1763900000.123456 0.000123456789012345678 12345678901234567890123456789012 1e-05 2026-11-24T02:09:25.123456+00:00
SSH_AUTH_SOCK=/tmp/ssh-XX/agent.1 XAUTHORITY=/home/u/.Xauthority TOKENIZERS_PARALLELISM=false PWD=/home/u OLDPWD=/home/u/x
KeyError: 'image'
unexpected token: comma
the token expired, password required
sorted(rows, key=len); attention(query=q, key=k); token = tokenizer.next(); password = getpass.getpass(); getpass("Password: ")
os.getenv("API_KEY"); load_key("main"); self.token_embedding = nn.Embedding(512, 64)
{"key": "image", "sort_key": "loss", "max_token": "12"}
""".strip().splitlines()


@pytest.mark.parametrize("text", [text for line in SPELLINGS.strip().splitlines() for text in line.split("|")])
def test_no_spelling_keeps_a_secret(text: str):
    assert SECRET not in without_secrets(text)
    assert not text.startswith("-") or SECRET not in str(without_secrets(shlex.split(text)))


@pytest.mark.parametrize("line", ORDINARY)
def test_what_stands_in_a_job_is_left_alone(line: str):
    assert without_secrets(line) == line
    assert without_secrets(line.split()) == line.split()


def test_what_a_name_says():
    assert [name for name in NAMES if not is_secret(name, SECRET)] == []
    assert [name for name in NAMES if not is_secret(name, "12345")] == []
    ordinary = "PWD OLDPWD TOKENIZERS_PARALLELISM SSH_AUTH_SOCK KEYBOARD XAUTHORITY PASSWORD_FILE SECRET_NAME PAD_TOKEN SORT_KEY".split()
    assert [name for name in ordinary if is_secret(name, SECRET)] == []


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.sampled_from(sorted(ALPHABETS)),
    st.integers(32, 88),
    st.integers(0, 2**32),
    st.sampled_from(["", "a=b:", "name "]),
)
def test_what_was_drawn_is_found_wherever_it_stands(alphabet: str, length: int, seed: int, before: str):
    dice = random.Random(seed)
    secrets = ["".join(dice.choices(ALPHABETS[alphabet], k=length)) for _ in range(20)]
    found = [without_secrets(f"{before}{secret}") for secret in secrets]
    # Chance alone makes some look written, or like a path.
    assert sum(HIDDEN not in text for text in found) <= 2


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
        kept = without_secrets(text)
        assert HIDDEN in kept and secret not in kept and secret[5:] not in kept
        assert kept.startswith(text[: text.index(secret)])


def test_words_of_a_command_line():
    words = [
        "--api-key",
        "hunter 2",
        "--password=a b c",
        "-v",
        "--secret",
        "--next",
        "--token",
        "512",
        "--user",
        "me:hunter2",
    ]
    kept = ["--api-key", HIDDEN, f"--password={HIDDEN}", "-v", "--secret", "--next", "--token", "512", "--user", HIDDEN]
    assert without_secrets(words) == kept
    assert without_secrets(tuple(words)) == kept


def test_any_shape_of_value():
    value = {
        "env": {"DB_PASS": "1", "N": 4, "WORDS": ["--token", "x1"]},
        "setup": ["export API_KEY=x"],
        "rate": 0.5,
        "none": None,
    }
    assert without_secrets(value) == {
        "env": {"DB_PASS": HIDDEN, "N": 4, "WORDS": ["--token", HIDDEN]},
        "setup": [f"export API_KEY={HIDDEN}"], "rate": 0.5, "none": None,
    }  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(
    st.recursive(
        st.text() | st.sampled_from(ORDINARY) | st.none() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_went_through_once_stays_as_it_is(value: object):
    once = without_secrets(value)
    assert without_secrets(once) == once


@settings(deadline=None, max_examples=200)
@given(st.text(string.ascii_lowercase + "-_/", max_size=80))
def test_words_of_small_letters_are_never_random(word: str):
    assert not is_random(word)


def test_the_lines_of_a_text_stay_its_lines():
    text = "a\n" + "x9Kd02LmQpR7sT1vW3yZ5bC8eF" + "\nb\n"
    assert without_secrets(text) == f"a\n{HIDDEN}\nb\n"


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a ",
        "=",
        "token: ",
        "<a",
        "a: b, ",
        '"',
        'pw="',
        "\\",
        "--a ",
        "://a:",
        "a-.",
        "pw=${",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_long_texts_take_no_longer_than_they_are(part: str):
    began = time.process_time()
    without_secrets(f"pw={part * (50_000 // len(part))}")
    assert time.process_time() - began < 10

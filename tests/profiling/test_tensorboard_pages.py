"""TensorBoard as a user sees it: a study by --sweep, its pages in a real browser, a picture of each.

The Profile tab needs an environment of its own, as its plugin wants another protobuf than TensorFlow 2.18:
RANKLOOP_TENSORBOARD=PATH of a tensorboard beside tensorboard-plugin-profile (2.20.0 and 2.24.2 read our traces; xprof 2.20.7 shows an
empty page). Without it the other tabs are opened in the TensorBoard of this environment.
"""

import base64
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import ABSENT, PROGRAM, Page, browser
from launched import launch

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason=ABSENT)]
TENSORBOARD = os.environ.get("RANKLOOP_TENSORBOARD") or str(Path(sys.executable).with_name("tensorboard"))
# All elements of a page that are shown, those within components and frames too; their own text.
SHOWN = """(() => {
  const all = (root, found = []) => { for (const e of root.querySelectorAll('*')) { found.push(e);
    if (e.shadowRoot) all(e.shadowRoot, found);
    if (e.tagName === 'IFRAME' && e.contentDocument) all(e.contentDocument, found); } return found; };
  window.shown = () => all(document).filter(e => e.getClientRects().length && !['STYLE', 'SCRIPT'].includes(e.tagName));
  window.text = () => window.shown().map(e => [...e.childNodes].filter(n => n.nodeType === 3)
    .map(n => n.textContent.trim()).join(' ')).map(words => words.replace(/\\s+/g, ' ').trim()).filter(Boolean).join('\\n');
})()"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs, with a trace each."""
    folder = tmp_path_factory.mktemp("runs")
    axes = ("--sweep", "lr=0.001,0.003", "--sweep", "width=8,16")
    made = launch("--runs", folder, "--name=s", *axes, "tiny", "--epochs=4", "--trace=10..14", "--threads=1", wait=900)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "s"


@pytest.fixture(scope="module")
def address(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of TensorBoard on the study, until the tests are over."""
    log = tmp_path_factory.mktemp("log") / "tensorboard.log"
    command = [TENSORBOARD, "--logdir", str(study), "--port=0", "--load_fast=false"]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"http://\S+", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield found[0].rstrip("/")
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.call("Emulation.setDeviceMetricsOverride", width=1300, height=900, deviceScaleFactor=1, mobile=False)
        yield page


def opened(page: Page, address: str, tab: str, *words: str) -> str:
    """The text of a tab, once it has all these words."""
    page.call("Page.navigate", url="about:blank")
    page.call("Page.navigate", url=f"{address}/#{tab}")
    return until(page, *words)


def until(page: Page, *words: str, seconds: float = 120) -> str:
    deadline = time.monotonic() + seconds
    while True:
        page.run(SHOWN)
        text = page.run("window.text()")
        if all(word in text for word in words):
            return text
        assert time.monotonic() < deadline, f"{[word for word in words if word not in text]} not in:\n{text[:3000]}"
        time.sleep(0.5)


def look(page: Page, folder: Path, name: str) -> None:
    """Leave a picture: with RANKLOOP_SHOTS=FOLDER where it can be looked at."""
    time.sleep(2)  # for what moves
    folder = Path(os.environ.get("RANKLOOP_SHOTS", folder))
    picture = base64.b64decode(page.call("Page.captureScreenshot")["data"])
    (folder / f"{name}.png").write_bytes(picture)
    assert len(picture) > 10_000, "there is nothing in the picture"


def test_scalars(page: Page, address: str, tmp_path: Path):
    runs = [f"n1-lr{rate}-width{width}-r1/tensorboard" for rate in ("0.001", "0.003") for width in (8, 16)]
    tags = ("train/loss", "train/learning_rate", "train/examples_per_s", "validation/loss", "validation/rms")
    opened(page, address, "scalars", *runs, *(f"tag:\n{tag}" for tag in tags))
    look(page, tmp_path, "scalars")


def test_graphs(page: Page, address: str, tmp_path: Path):
    opened(page, address, "graphs", "Op graph", "Conceptual graph", "Tag\n(2)", "Main Graph", "sequential_1", "inputs")
    look(page, tmp_path, "graphs")


def test_histograms(page: Page, address: str, tmp_path: Path):
    opened(
        page, address, "histograms", "tag:\nweights/sequential/dense_1/bias", "tag:\nweights/sequential/dense_1/kernel"
    )
    look(page, tmp_path, "histograms")
    assert page.run("window.shown().filter(e => e.tagName === 'path' && e.closest('svg')).length") >= 8


def test_parallel_coordinates_of_the_array(page: Page, address: str, tmp_path: Path):
    opened(page, address, "hparams", "Trial ID", "0.0010000", "0.0030000")
    look(page, tmp_path, "hparams_table")
    page.run(
        "window.shown().filter(e => e.textContent.trim().toUpperCase() === 'PARALLEL COORDINATES VIEW').pop().click()"
    )
    until(page, "lr", "width")
    look(page, tmp_path, "hparams_parallel_coordinates")
    lines = "window.shown().filter(e => e.tagName.toLowerCase() === 'path' && e.parentNode.classList.contains('foreground')).length"
    assert page.run(lines) == 4, "a line for each run"


@pytest.mark.skipif(
    "RANKLOOP_TENSORBOARD" not in os.environ, reason="RANKLOOP_TENSORBOARD names no TensorBoard with the Profile tab"
)
def test_profile(page: Page, address: str, tmp_path: Path):
    text = opened(
        page, address, "profile", "Sessions (4)", "Overview Page", "rank0", "Host Compute Time", "Device type"
    )
    assert "CPU" in text
    milliseconds = re.search(r"Host Compute Time\n\(σ = [\d.]+ ms\)\n([\d.]+) ms", text)
    assert milliseconds and float(milliseconds[1]) > 0
    look(page, tmp_path, "profile")

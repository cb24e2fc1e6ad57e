"""The report in a real browser: no word in the console, no other file asked for; it sorts, zooms, darkens and prints."""

import pytest
import studies
from browser import ABSENT, PROGRAM, browser

from launch.record.rundir import RunDir
from profiling.cli import report

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=ABSENT)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = studies.make(tmp_path_factory.mktemp("page") / "study", nodes=(1, 2, 4, 8), repeats=6)
    studies.trace(RunDir(folder / "n8-r1"), 0, {"compute": 0.7, "communication": 0.3})
    report.run([str(folder)])
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


@pytest.fixture
def page(chromium, index):
    """The report, opened anew."""
    chromium.events.clear()
    chromium.call("Emulation.setEmulatedMedia", media="", features=[])
    chromium.open(index)
    yield chromium
    assert chromium.complaints() == []
    assert [url for url in chromium.requests() if not url.startswith(("data:", "blob:"))] == [index.as_uri()]


def test_a_heading_sorts_its_table_both_ways(page):
    column = "[...document.querySelector('table').tBodies[0].rows].map(row => row.cells[%d].textContent).join()"
    headings = page.run(
        "[...document.querySelectorAll('table')[0].querySelectorAll('th')].map(th => th.innerText.trim())"
    )
    ranks, step, efficiency = (headings.index(name) for name in ("ranks", "median step [ms]", "efficiency"))
    click = "document.querySelectorAll('th button')[%d].click()"
    page.run(click % step)
    assert page.run(column % ranks) == "1,2,4,8"
    page.run(click % step)
    assert page.run(column % ranks) == "8,4,2,1"
    page.run(click % (efficiency + 1))  # the base has no interval, and comes last
    assert page.run(column % ranks)[-1] == "1" and page.run(column % (efficiency + 1)).endswith(",base")


def test_figures_zoom_and_move_and_go_back(page):
    view = "document.querySelector('figure svg').getAttribute('viewBox').split(' ').map(Number)"
    whole = page.run(view)
    page.run("document.querySelector('[data-zoom=\"+\"]').click()")
    near = page.run(view)
    assert near[2] == pytest.approx(whole[2] / 1.5) and near[0] == pytest.approx(whole[2] / 6)
    page.run("window.svg = document.querySelector('figure svg')")
    page.run("svg.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))")
    assert page.run(view)[0] == pytest.approx(near[0] + near[2] / 8)
    for _ in range(20):
        page.run("svg.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))")
    moved = page.run(view)
    assert moved[0] + moved[2] == pytest.approx(whole[2])  # not beyond its edge
    page.run("svg.dispatchEvent(new WheelEvent('wheel', {deltaY: -1, ctrlKey: true, cancelable: true}))")
    assert page.run(view)[2] == pytest.approx(moved[2] / 1.25)
    page.run("svg.dispatchEvent(new MouseEvent('dblclick'))")
    assert page.run(view) == pytest.approx(whole)


def test_marks_say_their_values(page):
    said = page.run("[...document.querySelectorAll('.tip title')].map(title => title.textContent)")
    assert any(line.startswith("8 ranks: ") and "6 repeats" in line for line in said)
    assert any(line.startswith("PREDICTION for 16 ranks") for line in said)


def test_colours_follow_the_system_and_the_button_and_paper_is_white(page, tmp_path):
    paper = "getComputedStyle(document.body).backgroundColor"
    page.look(tmp_path / "dark.png", 1300, dark=True)
    dark = page.run(paper)
    page.look(tmp_path / "light.png", 1300)
    light = page.run(paper)
    assert (dark, light) == ("rgb(20, 24, 29)", "rgb(255, 255, 255)")
    page.run("document.getElementById('theme').click()")
    assert page.run(paper) == dark
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run(paper) == light
    assert (tmp_path / "dark.png").read_bytes() != (tmp_path / "light.png").read_bytes()


def test_no_window_is_too_narrow(page, tmp_path):
    for width in (340, 700, 1300):
        page.look(tmp_path / "page.png", width)
        assert page.run("document.documentElement.scrollWidth") <= width


def test_it_prints_and_offers_its_numbers(page):
    paper = page.call("Page.printToPDF", printBackground=True)["data"]
    assert len(paper) > 20000
    text = page.run("document.getElementById('document').textContent")
    assert '"kind": "weak"' in text
    assert page.run("document.getElementById('json').href").startswith("blob:")

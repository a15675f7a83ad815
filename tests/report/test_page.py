"""The report as a reader, a phone and a screen reader meet it: parsed, and in a real browser where there is one."""

import json
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mage.config import make_config
from mage.errors import MageError
from mage.report import write_report
from mage.report.gallery import WORDS, as_data_uri, pictures
from mage.report.views import Runs
from mage.results import write_parquet
from mage.results.plots.scores import draw_intervals
from tests.results.tables import results, trials
from tests.test_cli import run_well

OLD_SWEEP = Path(__file__).parent.parent / "data" / "old_runs" / "sweep"
NASTY = "<script>alert(1)</script>"
WRITTEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
WITHOUT_END = {"meta", "link", "img", "br"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real sweep, two more methods on two scenarios, a failed trial with a nasty error, and a training under way."""
    folder = tmp_path_factory.mktemp("report") / "runs"
    shutil.copytree(OLD_SWEEP, folder / "sweep")
    for number, (algorithm, score) in enumerate({"mage": 80.0, "bc": 20.0, "dt": 50.0}.items()):
        for scenario in ("maze2d-umaze", "antmaze-teleport-navigate-v0"):
            scores = {seed: [score + 3 * seed, score - seed] for seed in range(3)}
            own = results(
                scores, scenario=scenario, algorithm=algorithm, config_hash=f"{number}-{algorithm}", warning=NASTY
            )
            write_parquet(own, folder / "played" / scenario / "episodes" / f"{algorithm}.parquet")
    fields: dict[str, list[Any]] = {
        "transformer.depth": [1, 2, 3],
        "training.autoencoder.learning_rate": [1e-3, 1e-4, 1e-2],
    }
    failed = trials(fields, [10.0, None, 30.0], log="/logs/" + "long/" * 30)
    failed["error"] = failed["error"].where(failed["error"].isna(), NASTY)
    write_parquet(failed, folder / "played" / "trials.parquet")
    for file in ("config.json", "run.json"):
        (folder / "begun").mkdir(exist_ok=True)
        (folder / "begun" / file).write_text("{}")
    return folder


@pytest.fixture(scope="module")
def page(runs: Path) -> Path:
    return write_report(runs, runs.parent / "report", now=WRITTEN)


class Read(HTMLParser):
    """Elements with their attributes and texts; what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in WITHOUT_END:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def read(page: Path) -> Read:
    return Read(page.read_text())


def test_the_page_is_whole_and_in_english(page: Path, read: Read) -> None:
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert read.open == []
    assert read.all("html") == [{"lang": "en"}]
    assert len(read.all("title")) == len(read.all("main")) == len(read.all("h1")) == 1


def test_nothing_in_the_page_is_elsewhere(page: Path, read: Read) -> None:
    assert not read.all("script", "iframe", "object", "video")
    for attributes in read.all("img", "link", "source"):
        assert (attributes.get("src") or attributes.get("href") or "").startswith("data:")
    ids = {attributes["id"] for _, attributes in read.elements if "id" in attributes}
    assert all((link["href"] or "").removeprefix("#") in ids for link in read.all("a"))
    for sign in ("http:", "https:", "url(", "@import"):
        assert sign not in page.read_text()


def test_headings_go_down_one_level_at_a_time(read: Read) -> None:
    levels = [int(tag[1]) for tag, _ in read.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(then - before <= 1 for before, then in pairwise(levels))


def test_pictures_tables_and_what_scrolls_have_names(read: Read) -> None:
    pictures = read.all("img")
    assert len(pictures) == 7
    assert all(len(picture["alt"] or "") > 40 for picture in pictures)
    assert len(read.all("caption")) == len(read.all("table"))
    assert {heading["scope"] for heading in read.all("th")} == {"col", "row"}
    for attributes in read.all("pre", "div"):
        if attributes.get("class") != "wrap":
            assert attributes["tabindex"] == "0" and attributes["aria-label"]  # reached, and scrolled, by the keyboard
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_what_is_not_ours_is_shown_as_text(page: Path, read: Read) -> None:
    assert NASTY not in page.read_text()
    assert sum(NASTY in text for _, text in read.texts) >= 3  # the failure, a seed each, and the warnings


def test_scores_failures_configurations_data_and_commands_are_there(read: Read, runs: Path) -> None:
    texts = [text for _, text in read.texts]
    strong = [text for tag, text in read.texts if tag == "strong"]
    assert any(text.startswith("81.0 [") for text in strong)  # mage on the teleporting maze, above all others
    assert "28acd725fb10c052" in texts
    assert f"mage results table {runs} --seed 0" in texts
    assert f"mage evaluate {runs}/sweep/maze2d-umaze/policies/4ba241534a18/seed-0" in texts
    assert any(text.startswith(f"{runs}/begun: its training has not ended") for text in texts)
    assert "2" in texts[texts.index("runs that failed") + 1]
    trained = [text for text in texts if text.startswith("mage train maze2d-umaze --dataset mage/maze2d/umaze-v0")]
    assert len(trained) == 2 and all("--set autoencoder.embed_dim=8" in command for command in trained)


def test_the_command_that_trains_again_is_the_configuration(read: Read) -> None:
    command = next(text for _, text in read.texts if text.startswith("mage train"))
    shown = run_well(*shlex.split(command)[1:], "--print-config")
    assert make_config(json.loads(shown)).hash() == "4ba241534a18"


def test_the_same_picture_is_the_same_address() -> None:
    own = [{"method": "a", "scenario": "b", "mean": 1.0, "low": 0.0, "high": float(number)} for number in (2, 2, 3)]
    one, same, other = (as_data_uri(draw_intervals(pd.DataFrame([cell]))) for cell in own)
    assert one == same != other


@pytest.mark.parametrize(
    ("algorithm", "drawn"),
    [("mage", {"targets", "codes"}), ("dt", {"targets"}), ("bc", set())],
    ids=["mage", "dt", "bc"],
)
def test_what_an_inspection_does_not_hold_has_no_picture(algorithm: str, drawn: set[str], tmp_path: Path) -> None:
    write_parquet(results({0: [1.0]}), tmp_path / "episodes.parquet")
    shutil.copy(OLD_SWEEP.parent / algorithm / "inspection.json", tmp_path)
    captions = {picture.caption for picture in pictures(Runs(tmp_path))}
    assert {kind for kind in ("targets", "codes") if WORDS[kind][0] in captions} == drawn


def test_a_picture_of_some_inspections_says_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mage.report.views.MOST_DRAWN", 1)
    last = pictures(Runs(OLD_SWEEP))[-1]
    assert last.caption == WORDS["codes"][0] and last.alt.endswith("of 1 of 2 inspections.")


def test_results_without_scores_policies_or_trials_have_a_page(tmp_path: Path) -> None:
    write_parquet(results({0: [1.0]}, normalized_score=float("nan")), tmp_path / "run" / "episodes.parquet")
    printed = run_well("results", "report", tmp_path / "run", "--to", tmp_path / "report")
    assert printed == f"report: {tmp_path}/report/index.html\n"
    read = Read((tmp_path / "report" / "index.html").read_text())
    assert "There is nothing to draw: no score, no trial, no loss curve and no inspection." in [
        text for _, text in read.texts
    ]
    with pytest.raises(MageError, match="no results at"):
        (tmp_path / "empty").mkdir()
        write_report(tmp_path / "empty", tmp_path / "report")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright; both come by `make optional` and apt, and without them the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make optional")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip(f"no browser is installed (none of {', '.join(names)}): apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=120_000)
        yield started
        started.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_nothing_overflows_no_request_leaves_and_nothing_is_complained_of(
    browser: Any, page: Path, width: int, scheme: str
) -> None:
    shown = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    shown.set_default_timeout(120_000)
    requests: list[str] = []
    complaints: list[str] = []
    shown.on("request", lambda request: requests.append(request.url))
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.goto(page.as_uri())
    shown.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    past_the_edge = """all => all.filter(one => one.getBoundingClientRect().right > innerWidth + 1)
        .map(one => one.outerHTML.slice(0, 80))"""
    assert shown.locator("body *:not(.scroll *):not(pre *)").evaluate_all(past_the_edge) == []
    pictures = shown.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert len(pictures) == 7 and min(pictures) > 0
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    assert complaints == []
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.textContent") == "Skip to the results"
    colours = shown.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert contrast(*map(luminance, colours)) > 7
    assert (luminance(colours[1]) < 0.1) == (scheme == "dark")
    shown.close()


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of `rgb(r, g, b)`."""
    parts = [float(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_the_table_of_scores_says_what_the_results_say(runs: Path, read: Read) -> None:
    played = pd.read_parquet(runs / "played" / "maze2d-umaze" / "episodes" / "bc.parquet")
    mean = played.groupby("training_seed")["normalized_score"].mean().mean()
    assert any(text.startswith(f"{mean:.1f} [") for _, text in read.texts)

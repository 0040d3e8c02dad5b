"""The demo as a stranger runs it, and its page in a real browser."""

import json
import shutil

import pytest

from floorcast.cluster.demo import run_demo
from floorcast.cluster.run import Resources


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "run"
    return run_demo(out=out, seed=0, episodes=3, resources=Resources(workers=2))


@pytest.mark.slow
def test_the_demo_leaves_page_summary_and_dataset(demo):
    assert {"report.html", "summary.json", "dataset", "twin.yaml"} <= {path.name for path in demo.folder.iterdir()}
    summary = json.loads((demo.folder / "summary.json").read_text())
    assert summary["episodes"] == 3
    assert summary["verdict"] == "inconclusive" or summary["verdict"] == "fail"  # three episodes cannot pass the gates
    assert summary["dataset"]["frames"] == 24
    assert {"name", "value", "ci_low", "ci_high", "n", "bound", "verdict"} <= set(summary["kpis"][0])
    gap = {(row["name"], row["horizon_s"]): row for row in summary["gap"]["comparison"]}
    assert gap["pos_end_err", 2.0]["after"] < gap["pos_end_err", 2.0]["before"]


@pytest.mark.slow
def test_a_second_demo_takes_what_is_there(demo):
    before = (demo.folder / "ledger.jsonl").read_bytes()
    page = demo.report.read_bytes()
    again = run_demo(out=demo.folder, seed=0, episodes=3, resources=Resources(workers=2))
    assert (demo.folder / "ledger.jsonl").read_bytes() == before
    assert again.report.read_bytes() == page


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="no Chromium with driver")
def test_the_page_shows_everything_in_a_browser(demo):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By

    options = webdriver.ChromeOptions()
    for word in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = shutil.which("chromium")
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.get(demo.report.as_uri())
        text = browser.find_element(By.TAG_NAME, "body").text
        pictures = browser.find_elements(By.TAG_NAME, "img")
        widths = [browser.execute_script("return arguments[0].naturalWidth", picture) for picture in pictures]
        assert len(browser.find_elements(By.CSS_SELECTOR, "img[src^='data:image/svg+xml']")) == 1  # the floor plan
        assert widths
        assert min(widths) > 100
        assert "Sim-to-real gap" in text
        assert "Success rate" in text
        assert len(browser.find_elements(By.TAG_NAME, "svg")) >= 2  # trajectories, horizons
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        browser.quit()

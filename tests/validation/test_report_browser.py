"""The page in a real browser: Debian's Chromium, opened from a file, in light and dark, on a desk and on a phone."""

import shutil

import pytest

from floorcast.validation.report import write_report

from .sample import report_data

pytestmark = pytest.mark.browser
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --disable-sync "
    "--disable-component-update --hide-scrollbars"
)


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("Chromium and its driver are not installed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    for argument in ARGUMENTS.split():
        options.add_argument(argument)
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, report_data(failures=9))
    return path.as_uri()


def show(browser, address, width, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(address)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_fits_the_screen_and_shows_every_picture(browser, address, width, scheme):
    show(browser, address, width, scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    sizes = browser.execute_script(
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width])"
    )
    assert len(sizes) == 9
    assert all(complete and natural > 0 and shown > 100 for complete, natural, shown in sizes)
    charts = browser.execute_script(
        "return [...document.querySelectorAll('svg.chart, svg.bar')].map(s => s.getBoundingClientRect().width)"
    )
    assert len(charts) == 3 + 4
    assert min(charts) > 100
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_verdict_is_seen_without_scrolling_on_a_phone(browser, address):
    show(browser, address, 390, "light")
    bottom = browser.execute_script("return document.querySelector('.sentence').getBoundingClientRect().bottom")
    assert bottom < 700
    assert "misses two of three limits" in browser.execute_script(
        "return document.querySelector('.sentence').innerText"
    )


def test_dark_and_light_differ(browser, address):
    colors = []
    for scheme in ("light", "dark"):
        show(browser, address, 1280, scheme)
        colors.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert colors == ["rgb(244, 246, 248)", "rgb(15, 21, 27)"]


def test_asks_nothing_of_the_network(browser, address):
    browser.get_log("performance")
    show(browser, address, 1280, "light")
    requests = [e["message"] for e in browser.get_log("performance") if "Network.requestWillBeSent" in e["message"]]
    assert requests, "the page itself must be seen in the log"
    assert not any('"url":"http' in message for message in requests)

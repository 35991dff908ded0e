"""The built site in a browser: `tox -e docs` builds it, Chromium opens it.

On Debian: apt-get install chromium chromium-driver.
"""

import functools
import http.server
import pathlib
import shutil
import threading
import urllib.parse
import urllib.request

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SITE = pathlib.Path(__file__).parents[2] / "build" / "site"
PAGES = sorted(
    path.relative_to(SITE).as_posix().removesuffix("index.html")
    for path in SITE.rglob("index.html")
)
WIDTHS = (1280, 390)
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.needs("browser")
# A browser of its own: no requests to its vendor, no old profile.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address():
    """Where the site is served."""
    assert PAGES, "The site is not built: zensical build --strict"
    handler = functools.partial(QuietHandler, directory=SITE)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    profile = tmp_path_factory.mktemp("profile")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


def resize(browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": width,
            "height": 1000,
            "deviceScaleFactor": 1,
            "mobile": width < 600,
        },
    )


def prefer(browser, scheme):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )


# Without a site one test fails, and says so.
@pytest.mark.parametrize("page", PAGES or [""])
def test_page_is_whole(browser, address, page):
    """No error, no missing picture, nothing wider than the screen."""
    for width in WIDTHS:
        resize(browser, width)
        browser.get(address + page)
        assert browser.get_log("browser") == []
        page_width, *widths = browser.execute_script(
            """
            const root = document.documentElement;
            // Tables scroll in a frame of their own, on a telephone only.
            const frames = document.querySelectorAll(".md-typeset__scrollwrap");
            return [root.scrollWidth - root.clientWidth,
                    ...[...frames].map(f => f.scrollWidth - f.clientWidth)];
            """
        )
        assert page_width <= 0
        if width == max(WIDTHS):
            assert [excess for excess in widths if excess > 0] == []
    missing = browser.execute_script(
        """
        const pictures = [...document.querySelectorAll(".md-content img")];
        // Loads those too that lie far below.
        for (const picture of pictures) picture.loading = "eager";
        return Promise.all(pictures.map(p => p.decode().then(
            () => null, () => p.src))).then(all => all.filter(Boolean));
        """
    )
    assert missing == []


def test_nothing_comes_from_another_host(browser, address):
    for page in PAGES:
        browser.get(address + page)
        requested = browser.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
        )
        assert requested
        assert [url for url in requested if not url.startswith(address)] == []


def test_links_answer(browser, address):
    links = set()
    for page in PAGES:
        browser.get(address + page)
        links |= set(
            browser.execute_script(
                "return [...document.querySelectorAll('a[href]')]"
                ".map(a => a.href)"
            )
        )
    internal = {
        urllib.parse.urldefrag(link).url
        for link in links
        if link.startswith(address)
    }
    assert len(internal) >= len(PAGES)
    for link in sorted(internal):
        # Raises an error with the link if the answer is not 200.
        with urllib.request.urlopen(link) as answer:
            assert answer.status == 200


def test_search_finds_a_layer(browser, address):
    resize(browser, 1280)
    browser.get(address)
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    wait = WebDriverWait(browser, 20)
    field = wait.until(
        lambda _: next(
            (
                element
                for element in find_in_shadows(browser, "input")
                if element.is_displayed()
            ),
            None,
        )
    )
    field.send_keys("SqueezeExcite")
    wait.until(
        lambda _: any(
            "reference/layers/" in (link.get_attribute("href") or "")
            for link in find_in_shadows(browser, "a")
        )
    )


def find_in_shadows(browser, selector):
    """The elements of the page and of the shadow trees in it."""
    return browser.execute_script(
        """
        const found = [];
        function visit(root) {
            found.push(...root.querySelectorAll(arguments_selector));
            for (const element of root.querySelectorAll("*"))
                if (element.shadowRoot) visit(element.shadowRoot);
        }
        const arguments_selector = arguments[0];
        visit(document);
        return found;
        """,
        selector,
    )


def test_dark_mode(browser, address):
    """The page and its diagram follow the system's mode."""
    shown = []
    for scheme in ("light", "dark"):
        prefer(browser, scheme)
        browser.get(address)
        shown.append(
            browser.execute_script(
                """
                const pictures = [
                    ...document.querySelectorAll(".mechanisms img")];
                return pictures.filter(p => p.offsetParent).map(
                    p => new URL(p.src).pathname);
                """
            )
        )
    prefer(browser, "light")
    assert shown == [
        ["/images/mechanisms_light.svg"],
        ["/images/mechanisms_dark.svg"],
    ]


def test_table_sorts_and_filters(browser, address):
    browser.get(address + "models/")
    table = browser.find_element(By.CSS_SELECTOR, ".filter ~ * table")
    rows = "return [...arguments[0].tBodies[0].rows].filter(r => !r.hidden)"
    cells = rows + ".map(r => r.cells[3].textContent)"
    field = browser.find_element(By.CSS_SELECTOR, ".filter input")
    field.send_keys("ecaresnet50t")
    browser.find_elements(By.CSS_SELECTOR, ".sort")[3].click()
    accuracies = [float(text) for text in browser.execute_script(cells, table)]
    assert len(accuracies) == 4
    assert accuracies == sorted(accuracies)
    browser.find_element(By.CSS_SELECTOR, '[data-filter="^ecaresnet"]').click()
    assert len(browser.execute_script(rows, table)) == 9

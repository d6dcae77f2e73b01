"""Chromium without a window, for what has to be looked at in one."""

import json
import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


def browser() -> "Chrome | None":
    """A new one, for `quit` in the end; None where there is no Chromium or no driver for it."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        return None
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    # In a container Chromium has no sandbox of its own, and root may not have one.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


class Page:
    """A report in the browser; `close` says what is wrong with it."""

    def __init__(self, browser, path, width=1280, scheme="light"):
        self.browser = browser
        touch = width < 600
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": touch}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.prefer(scheme)
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        self.url = path.resolve().as_uri()
        started = time.monotonic()
        browser.get(self.url)
        self.wait("document.documentElement.dataset.ready")
        self.seconds = time.monotonic() - started

    def prefer(self, scheme):
        """Have the system prefer light or dark."""
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def js(self, code, *arguments):
        return self.browser.execute_script(f"return {code}", *arguments)

    def wait(self, code, seconds=20):
        end = time.monotonic() + seconds
        while not (found := self.js(code)):
            assert time.monotonic() < end, f"never: {code}"
            time.sleep(0.02)
        return found

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def through(self):
        """Scroll from end to end, so that everything is drawn."""
        self.js("window.scrollTo(0, 0)")
        while self.js("(scrollBy(0, 400), scrollY + innerHeight < document.documentElement.scrollHeight - 2)"):
            time.sleep(0.03)
        self.wait("[...document.querySelectorAll('.plot')].every(n => n.querySelector('.main-svg'))")
        self.js("window.scrollTo(0, 0)")

    def close(self):
        told = [e["message"] for e in self.browser.get_log("browser")]
        assert not told, told
        sent = [json.loads(e["message"])["message"] for e in self.browser.get_log("performance")]
        urls = {e["params"]["request"]["url"] for e in sent if e["method"] == "Network.requestWillBeSent"}
        assert {u for u in urls if not u.startswith(("data:", "blob:"))} == {self.url}, urls
        assert self.js("document.documentElement.scrollWidth") <= self.js("window.innerWidth")

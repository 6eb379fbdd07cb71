"""A browser, and the page as a person uses it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

T = TypeVar("T")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


@contextmanager
def headless_chromium() -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own that talks to nobody but us."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


class Page:
    """The page as a person uses it. Blocks: use it in a thread, the server shares the test's loop."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, key: str, speaking_for: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{url}/#key={key}&as={speaking_for}")
        self.until(lambda: not self.driver.current_url.count("#"))

    def ask(self, question: str) -> None:
        field = self.one("#question")
        field.clear()
        field.send_keys(question, Press.ENTER)

    def answer(self, question: str) -> None:
        self.ask(question)
        self.until(lambda: self.one("#facts").is_displayed())

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.one(selector).get_property("textContent"))

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_async_script(
            f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done)", *arguments
        )

    def until(self, condition: Callable[[], T]) -> T:
        return WebDriverWait(self.driver, 10, 0.02).until(lambda _driver: condition())

    def open_first_citation(self) -> str:
        self.one(".marker").click()
        self.until(lambda: self.all("#document mark"))
        return self.text("#document mark")

"""The page in a real browser against a real server: what a person sees, and what a hostile document cannot do."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys as Press

from api.app import create_app
from retrieval.generation.gateway import LlmGateway
from tests.conftest import new_database
from tests.e2e.browsing import CHROMIUM, DRIVER, Page, headless_chromium
from tests.e2e.corpus import HOSTILE_SENTENCE, Keys, engine_on, fill
from tests.e2e.standing import live
from tests.fakes import WordEmbedder
from tests.llm_servers.scripted import hang_midway, scripted_llm, slow_drip

QUESTION = "When does the harbour café open its doors?"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver (Debian packages)"),
]


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Keys]]:
    for created in new_database(server):
        yield created, fill(created, WordEmbedder(), tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def key(database: tuple[str, Keys]) -> str:
    return database[1].plain


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    with headless_chromium() as driver:
        yield driver


@asynccontextmanager
async def _served(dsn: str, embedder: WordEmbedder, llm: LlmGateway | None = None) -> AsyncIterator[str]:
    async with engine_on(dsn, embedder, llm) as engine, live(create_app(engine.settings, engine)) as url:
        yield url


@pytest.fixture
async def url(database: tuple[str, Keys], words: WordEmbedder) -> AsyncIterator[str]:
    """The page over the small corpus, answered by quoting."""
    async with _served(database[0], words) as served:
        yield served


@pytest.fixture
def page(chromium: webdriver.Chrome) -> Page:
    return Page(chromium)


async def _citations(url: str, key: str, question: str) -> list[dict[str, Any]]:
    async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        answer = await client.post("/v1/answers", json={"question": question, "stream": False})
        citations: list[dict[str, Any]] = answer.json()["citations"]
        return citations


async def test_a_citation_opens_the_exact_words_in_view(page: Page, url: str, key: str) -> None:
    """The marked text is the citation's quote, though emoji stand before it, and it is scrolled into view."""

    def look() -> tuple[str, bool, str]:
        page.open(url, key)
        page.answer(QUESTION)
        marked = page.open_first_citation()
        in_view = """const box = document.getElementById("document").getBoundingClientRect();
            const mark = document.querySelector("mark").getBoundingClientRect();
            return mark.top >= box.top && mark.bottom <= Math.min(box.bottom, innerHeight)"""
        return marked, bool(page.run(in_view)), page.text("#panel-place")

    marked, in_view, place = await asyncio.to_thread(look)
    [citation, *_] = await _citations(url, key, QUESTION)
    assert marked == citation["quote"]
    assert HOSTILE_SENTENCE in marked
    assert in_view
    assert citation["uri"] in place


async def test_the_answer_is_shown_as_it_comes(page: Page, database: tuple[str, Keys], words: WordEmbedder) -> None:
    """The first words are on the page while later ones are still being written; the end has its marker."""

    def look(url: str) -> tuple[str, str]:
        page.open(url, database[1].plain)
        page.ask(QUESTION)
        early = str(page.until(lambda: page.text("#answer")))
        page.until(lambda: page.one("#facts").is_displayed())
        return early, page.text("#answer")

    with scripted_llm(slow_drip(f"{HOSTILE_SENTENCE[:-1]} [1].", 0.15)) as server:
        async with _served(database[0], words, LlmGateway(server.settings(token_timeout=5.0))) as url:
            early, whole = await asyncio.to_thread(look, url)
    assert 0 < len(early) < len(whole) / 2
    assert whole.startswith(early.rstrip())


async def test_only_cited_numbers_are_links(page: Page, url: str, key: str) -> None:
    """Numbers in code stay text, and each marker opens the citation that came right after it."""
    script = """const { Answer } = await import("/static/answer.js");
        const root = document.createElement("p"), opened = [];
        const answer = new Answer(root, ({ quote }) => opened.push(quote));
        answer.know([1, 2].map((number) => ({ number, title: "T" })));
        for (const [text, quote] of [["`x[1]`, `y[2]`: a [1]", "a"], [". Again [1]. b [1", ""], ["]", "b"]]) {
          answer.write(text);
          if (quote) answer.cite({ number: 1, quote });
        }
        for (const button of root.querySelectorAll("button")) button.click();
        return [root.textContent, opened]"""

    def look() -> list[Any]:
        page.open(url, key)
        return list(page.run(script))

    assert await asyncio.to_thread(look) == ["`x[1]`, `y[2]`: a 1. Again 1. b 1", ["a", "a", "b"]]


async def test_a_hostile_document_is_only_text(page: Page, url: str, key: str) -> None:
    """Markup in titles, headings, passages and documents is shown as it is written and does nothing."""

    def look() -> tuple[Any, str]:
        page.open(url, key)
        page.answer(QUESTION)
        page.open_first_citation()
        made = 'return [window.owned ?? null, document.querySelectorAll("img, main script, aside script").length]'
        return page.run(made), page.text("#document")

    made, shown = await asyncio.to_thread(look)
    assert made == [None, 0]
    assert "window.owned = 'image'" in shown


async def test_the_key_is_nowhere_but_in_the_tab(page: Page, url: str, key: str) -> None:
    """It leaves the address bar at once, and no storage keeps it longer than the session."""

    def look() -> tuple[str, list[Any], str]:
        page.open(url, key, "user:ada,group:eng")
        kept = "return [localStorage.length, document.cookie, sessionStorage.getItem('pincite.key')]"
        return page.driver.current_url, page.run(kept), page.text("#who")

    address, kept, who = await asyncio.to_thread(look)
    assert address == f"{url}/"
    assert kept == [0, "", key]
    assert who == "Asking as user:ada, group:eng"


async def test_a_degraded_answer_wears_a_badge(page: Page, url: str, key: str, words: WordEmbedder) -> None:
    """What gave way is said in words a person understands."""

    def look() -> list[str]:
        page.open(url, key)
        page.answer(QUESTION)
        return [badge.text for badge in page.all("#badges li") if badge.is_displayed()]

    words.broken = True
    [badge] = await asyncio.to_thread(look)
    assert badge.startswith("Found by words alone")


async def test_stopping_ends_the_answer_all_the_way_up(
    page: Page, database: tuple[str, Keys], words: WordEmbedder
) -> None:
    """The button keeps what was written and cancels the model's call."""

    def look(url: str) -> str:
        page.open(url, database[1].plain)
        page.ask(QUESTION)
        page.until(lambda: page.text("#answer"))
        page.one("#stop").click()
        page.until(lambda: page.one("#submit").is_displayed())
        return page.text("#answer")

    with scripted_llm(hang_midway("The harbour café opens at")) as server:
        async with _served(database[0], words, LlmGateway(server.settings(token_timeout=30.0, deadline=60.0))) as url:
            written = await asyncio.to_thread(look, url)
            released = await asyncio.to_thread(server.wait_for, lambda state: state.disconnects == 1)
    assert written.startswith("The harbour")
    assert released


async def test_a_refusal_says_that_nothing_was_found(page: Page, url: str, key: str) -> None:
    """It looks like a finding, not like a failure."""

    def look() -> tuple[bool, bool]:
        page.open(url, key)
        page.answer("Xylophone zeppelin quorum?")
        return page.one("#refusal").is_displayed(), page.one("#problem").is_displayed()

    assert await asyncio.to_thread(look) == (True, False)


async def test_an_unknown_key_is_said_plainly(page: Page, url: str) -> None:
    """The person is told, and stands in the field that puts it right."""

    def look() -> tuple[str, str]:
        page.open(url, "pk_wrong")
        page.ask(QUESTION)
        page.until(lambda: page.one("#problem").is_displayed())
        return page.one("#problem").text, str(page.driver.switch_to.active_element.get_property("id"))

    words_shown, focused = await asyncio.to_thread(look)
    assert words_shown.startswith("That API key is not known")
    assert focused == "key"


async def test_the_page_works_without_a_mouse(page: Page, url: str, key: str) -> None:
    """A marker opens by Enter; Escape closes the source and gives the focus back."""

    def look() -> tuple[bool, str]:
        page.open(url, key)
        page.answer(QUESTION)
        page.one(".marker").send_keys(Press.ENTER)
        page.until(lambda: page.all("#document mark"))
        page.driver.switch_to.active_element.send_keys(Press.ESCAPE)
        focused = page.driver.switch_to.active_element.get_attribute("class")
        return page.one("#panel").is_displayed(), str(focused)

    assert await asyncio.to_thread(look) == (False, "marker")


@pytest.mark.parametrize("width", [320, 700, 1280])
async def test_nothing_sticks_out_at_any_width(page: Page, url: str, key: str, width: int) -> None:
    """No sideways scrolling, with the source open."""

    def look() -> int:
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        try:
            page.open(url, key)
            page.answer(QUESTION)
            page.open_first_citation()
            return int(page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth"))
        finally:
            page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert await asyncio.to_thread(look) <= 0


async def test_offsets_are_counted_in_code_points(page: Page, url: str, key: str) -> None:
    """For every offset into a text with emoji, script and service cut at the same place."""
    text = "a😀é👩‍👩‍👧\u0301z🎉"
    script = """const { utf16Offset } = await import("/static/source.js");
        return Array.from({ length: most }, (_, count) => text.slice(0, utf16Offset(text, count)))"""

    def look() -> list[str]:
        page.open(url, key)
        return list(page.run(f"const text = {json.dumps(text)}, most = {len(text) + 2}; {script}"))

    assert await asyncio.to_thread(look) == [text[:offset] for offset in range(len(text) + 2)]


async def test_words_that_moved_are_said_to_have_moved_only_in_a_changed_document(
    page: Page, url: str, key: str
) -> None:
    """The citation's version tells an edited document from one that should still say what was quoted."""
    script = """const { movedWords } = await import("/static/words.js");
        return [3, 2].map((version) => movedWords({ version: 3 }, { version }))"""

    def look() -> list[str]:
        page.open(url, key)
        return list(page.run(script))

    same, older = await asyncio.to_thread(look)
    assert "has changed since" in older
    assert "changed" not in same


async def test_a_stream_reads_the_same_wherever_it_is_cut(page: Page, url: str, key: str) -> None:
    """Network packets end anywhere: between CR and LF, inside a field, inside a comment."""
    stream = r'": ping\n\nevent: text\r\ndata: {\"text\":\ndata: \"a\"}\r\n\r\nevent: finished\rdata: 1\r\r\n"'
    script = f"""const {{ EventParser }} = await import("/static/stream.js");
        const stream = {stream}, all = new Set();
        for (let cut = 0; cut <= stream.length; cut += 1) {{
          const parser = new EventParser();
          all.add(JSON.stringify([...parser.push(stream.slice(0, cut)), ...parser.push(stream.slice(cut))]));
        }}
        return [...all]"""

    def look() -> list[str]:
        page.open(url, key)
        return list(page.run(script))

    assert await asyncio.to_thread(look) == ['[{"event":"text","data":{"text":"a"}},{"event":"finished","data":1}]']


async def test_a_source_opens_for_whom_the_page_speaks(page: Page, url: str, database: tuple[str, Keys]) -> None:
    """Question and document are read as the same person, whose name is in no address."""

    def look() -> tuple[str, list[str]]:
        page.open(url, database[1].speaker, "user:jörg,group:hr")
        page.answer("What does the director of the observatory earn?")
        marked = page.open_first_citation()
        return marked, list(page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)"))

    marked, addresses = await asyncio.to_thread(look)
    assert "9000 a month" in marked
    assert [address for address in addresses if "/v1/documents/" in address]
    assert [address for address in addresses if "group" in address] == []

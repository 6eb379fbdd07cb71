"""Answers with an `Idempotency-Key`: made once, for all who ask with it, at whichever process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from retrieval.access import tenant_id
from retrieval.keys import create_key
from tests.conftest import new_database
from tests.e2e.corpus import Keys, fill
from tests.e2e.standing import events_of
from tests.fakes import WordEmbedder
from tests.kept_answers import GATE, WORDS, Process, after, ids_of, process
from tests.llm_servers.scripted import ScriptedLlm, answer, cut_midway, scripted_llm, slow_drip, status

Database = tuple[str, Keys]


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with the small corpus, and its keys. Each test uses idempotency keys of its own."""
    for created in new_database(server):
        yield created, fill(created, WordEmbedder(), tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def llm() -> Iterator[ScriptedLlm]:
    with scripted_llm(slow_drip(WORDS, 0.03)) as server:
        yield server


@pytest.fixture
async def here(database: Database, llm: ScriptedLlm) -> AsyncIterator[Process]:
    async with process(database[0], llm) as opened:
        yield opened


@pytest.fixture
async def there(database: Database, llm: ScriptedLlm) -> AsyncIterator[Process]:
    async with process(database[0], llm) as opened:
        yield opened


@pytest.fixture(params=["here", "there"])
def other(request: pytest.FixtureRequest, here: Process, there: Process) -> Process:
    """The process that the second client asks: the same one, or another one."""
    return here if request.param == "here" else there


@pytest.fixture
def plain(database: Database) -> str:
    return database[1].plain


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """An idempotency key of the test's own."""
    return f"key of {request.node.name}"


async def test_two_clients_with_one_key_get_one_answer(
    here: Process, other: Process, plain: str, key: str, llm: ScriptedLlm
) -> None:
    """Asked at the same time, at one process or two, the answer is generated once, and both read the same bytes."""
    first, second = await asyncio.gather(here.ask(plain, key), other.ask(plain, key))
    assert [name for name, _ in events_of(first.text)][-1] == "finished"
    assert first.text == second.text
    assert first.headers["x-answer-id"] == second.headers["x-answer-id"]
    assert len(llm.requests) == 1


async def test_asked_again_it_is_the_same_answer(
    here: Process, other: Process, plain: str, key: str, llm: ScriptedLlm
) -> None:
    """Whether it was read as a stream or as one body, and is now."""
    whole = await here.ask(plain, key, stream=False)
    again = await other.ask(plain, key, stream=False)
    stream = await other.ask(plain, f'"{key}"')
    assert whole.json() == again.json()
    finished = events_of(stream.text)[-1][1]
    assert {name: whole.json()[name] for name in finished} == finished
    assert len(llm.requests) == 1


async def test_a_stream_can_be_taken_up_after_every_event(
    here: Process, other: Process, plain: str, key: str, llm: ScriptedLlm
) -> None:
    """What was not read yet is sent, and nothing twice; after the last event there is nothing."""
    whole = (await here.ask(plain, key)).text
    ids = ids_of(whole)
    assert len(ids) == len(events_of(whole))
    answer_id = ids[0].partition(".")[0]
    for last in ids[:-1]:
        assert (await other.resume(plain, answer_id, last)).text == after(whole, last)
        posted = await other.ask(plain, key, headers={"Last-Event-ID": last})
        assert posted.text == after(whole, last)
    assert (await other.resume(plain, answer_id)).text == whole
    assert (await other.resume(plain, answer_id, ids[-1])).status_code == 204
    assert len(llm.requests) == 1


async def test_another_question_with_the_same_key_is_refused(
    here: Process, plain: str, key: str, llm: ScriptedLlm
) -> None:
    """Also where only the limit differs; how the answer is to come is no difference."""
    whole = await here.ask(plain, key)
    for other_body in ({"question": "When does it open?"}, {"limit": 3}, {"filter": {"field": "uri", "exists": True}}):
        refused = await here.ask(plain, key, **other_body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_key_reused")
        resumed = await here.ask(plain, key, headers={"Last-Event-ID": ids_of(whole.text)[0]}, **other_body)
        assert (resumed.status_code, resumed.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert len(llm.requests) == 1


async def test_nobody_else_can_follow(here: Process, database: Database, key: str) -> None:
    """Another tenant, another API key, another principal: with the same idempotency key each has an answer of its own,
    and the first one's events are not there for them."""
    keys = database[1]
    mine = await here.ask(keys.speaker, key, principals=["user:ada", "group:hr"])
    answer_id = mine.headers["x-answer-id"]
    foreign = create_key(database[0], tenant_id("globex"), "foreign", {"query", "act_as"}, set())
    twin = create_key(database[0], tenant_id("acme"), "twin", {"query", "act_as"}, set())
    others: list[tuple[str, dict[str, Any], str]] = [
        (foreign, {"principals": ["user:ada", "group:hr"]}, "user:ada, group:hr"),
        (twin, {"principals": ["user:ada", "group:hr"]}, "user:ada, group:hr"),
        (keys.speaker, {"principals": ["user:ada"]}, "user:ada"),
        (keys.speaker, {}, ""),
    ]
    for api_key, body, principals in others:
        own = await here.ask(api_key, key, **body)
        assert own.headers["x-answer-id"] != answer_id
        headers = {"Authorization": f"Bearer {api_key}", "X-Pincite-Principals": principals}
        read = await here.client.get(f"/v1/answers/{answer_id}/events", headers=headers)
        assert (read.status_code, read.json()["error"]["code"]) == (404, "not_found")
    same = {"Authorization": f"Bearer {keys.speaker}", "X-Pincite-Principals": "group:hr,user:ada,user:ada"}
    assert (await here.client.get(f"/v1/answers/{answer_id}/events", headers=same)).text == mine.text


async def test_an_answer_without_a_key_is_not_kept(here: Process, plain: str) -> None:
    """Its events have ids all the same, and taking it up says that there is nothing, instead of beginning anew."""
    whole = await here.ask(plain, None)
    [answer_id] = {event_id.partition(".")[0] for event_id in ids_of(whole.text)}
    assert (await here.resume(plain, answer_id)).status_code == 404
    posted = await here.ask(plain, None, headers={"Last-Event-ID": f"{answer_id}.2"})
    assert (posted.status_code, posted.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("stream", [True, False])
async def test_an_attempt_that_never_began_leaves_the_key_free(
    database: Database, plain: str, key: str, stream: bool
) -> None:
    """A clean 503 before the first event is no answer: the same key is asked again and answered."""
    with scripted_llm(answer(WORDS)) as llm:
        async with process(database[0], llm) as busy:
            busy.app.state.engine.admission._free = 0
            busy.app.state.engine.admission._waiting = 0
            refused = await asyncio.gather(*(busy.ask(plain, key, stream=stream) for _ in range(3)))
            assert {response.status_code for response in refused} == {503}
            busy.app.state.engine.admission._free = 8
            assert (await busy.ask(plain, key, stream=stream)).status_code == 200
        assert len(llm.requests) == 1


async def test_an_answer_that_broke_off_is_tried_again(database: Database, plain: str, key: str) -> None:
    """Whoever follows the broken one reads its error; who asks with the key again gets a new attempt."""
    with scripted_llm(cut_midway("The north gate"), answer(WORDS)) as llm:
        async with process(database[0], llm) as here, process(database[0], llm) as there:
            broken = await asyncio.gather(here.ask(plain, key), there.ask(plain, key))
            assert [events_of(response.text)[-1][0] for response in broken] == ["error", "error"]
            assert broken[0].text == broken[1].text
            again = await there.ask(plain, key)
            assert events_of(again.text)[-1][0] == "finished"
            assert again.headers["x-answer-id"] != broken[0].headers["x-answer-id"]
        assert len(llm.requests) == 2


async def test_a_refusing_llm_is_a_degraded_answer_like_any_other(database: Database, plain: str, key: str) -> None:
    """It is kept: the caller got an answer."""
    with scripted_llm(status(500)) as llm:
        async with process(database[0], llm) as here:
            first, again = await here.ask(plain, key), await here.ask(plain, key)
    assert events_of(first.text)[-1][1]["degraded"] == ["llm_unavailable"]
    assert first.text == again.text


@pytest.mark.parametrize(
    "presented",
    ["", " ", "a" * 256, '"open', '"with "quotes""', "tab\tinside", "ünicode", '""', "\x7f"],
    ids=["empty", "blank", "huge", "unterminated", "quotes", "tab", "umlaut", "nothing quoted", "delete"],
)
async def test_a_malformed_key_is_an_invalid_request(here: Process, plain: str, presented: str) -> None:
    """It is refused by name, not used in some other form."""
    headers = [
        (b"Authorization", f"Bearer {plain}".encode()),
        (b"Idempotency-Key", presented.encode()),
        (b"Content-Type", b"application/json"),
    ]
    response = await here.client.post("/v1/answers", json=GATE, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")
    assert "Idempotency-Key" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "presented", ["1", "x" * 5000, "0" * 32, "0" * 32 + ".", "0" * 32 + ".-1", "0" * 32 + ".1234567890", "é.1"]
)
async def test_a_malformed_event_id_is_an_invalid_request(here: Process, plain: str, presented: str) -> None:
    """Wherever it is sent."""
    headers = [(b"Authorization", f"Bearer {plain}".encode()), (b"Last-Event-ID", presented.encode())]
    posted = await here.client.post("/v1/answers", json=GATE, headers=headers)
    read = await here.client.get(f"/v1/answers/{'0' * 32}/events", headers=headers)
    for response in (posted, read):
        assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")
        assert "last-event-id" in response.json()["error"]["message"].lower()


async def test_an_event_of_another_answer_is_not_this_ones(here: Process, plain: str, key: str) -> None:
    """The address and the event have to name the same answer; a number it never had leaves nothing to send."""
    first, second = await here.ask(plain, key), await here.ask(plain, f"{key} too")
    foreign = await here.resume(plain, first.headers["x-answer-id"], ids_of(second.text)[0])
    assert foreign.status_code == 404
    beyond = await here.resume(plain, first.headers["x-answer-id"], f"{first.headers['x-answer-id']}.999999999")
    assert beyond.status_code == 204

"""What a caller sees of the cache, and what it cannot."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from api.app import create_app
from retrieval.engine import open_engine
from retrieval.settings import CacheSettings
from tests.conftest import on_database
from tests.e2e.corpus import fill
from tests.e2e.standing import client_of, events_of
from tests.fakes import WordEmbedder
from tests.llm_servers import scripted
from tests.llm_servers.scripted import scripted_llm

QUESTION = "When does the north gate close?"


async def _use(http: httpx2.AsyncClient, key: str, **body: Any) -> str:
    answer = await http.post(
        "/v1/answers",
        json={"question": QUESTION, "stream": False} | body,
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["cache"])


async def test_a_caller_sees_what_the_cache_did(dsn: str, tmp_path: Path) -> None:
    """In the body and in the stream; an asker with other principals sees no trace of another's answer; who opts out
    neither gets nor leaves one. The metrics count each."""
    embedder = WordEmbedder()
    keys = fill(dsn, embedder, tmp_path)
    with scripted_llm(scripted.answer('It "closes at eight in the evening" [1].')) as llm:
        settings = replace(on_database(dsn), llm=llm.settings(), cache=CacheSettings())
        async with open_engine(settings, embedder=embedder) as engine, client_of(create_app(settings, engine)) as http:
            assert await _use(http, keys.plain, cache=False) == "bypass"
            assert await _use(http, keys.plain) == "miss"
            assert await _use(http, keys.plain) == "exact"
            assert await _use(http, keys.plain, question="when does the north gate close") == "semantic"
            assert await _use(http, keys.hr) == "miss"
            assert await _use(http, keys.speaker, principals=["user:ada"]) == "exact"
            assert await _use(http, keys.speaker, principals=["user:bob"]) == "miss"
            stream = await http.post(
                "/v1/answers", json={"question": QUESTION}, headers={"Authorization": f"Bearer {keys.plain}"}
            )
            metrics = (await http.get("/metrics")).text
    events = events_of(stream.text)
    assert [name for name, _ in events] == ["passages", "text", "citation", "finished"]
    assert (events[-1][1]["cache"], events[-1][1]["usage"], events[-1][1]["served"]["attempts"]) == ("exact", None, 0)
    counted = dict(re.findall(r'^pincite_answer_cache_total\{use="(\w+)"\} (\S+)', metrics, re.MULTILINE))
    assert counted == {"miss": "3.0", "exact": "3.0", "semantic": "1.0", "shared": "0.0", "bypass": "1.0"}

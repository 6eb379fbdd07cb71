"""What an operator sees of a request: one trace from HTTP to SQL and to the provider, measures, a line in the log."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from api.app import create_app
from retrieval.engine import Engine
from retrieval.generation.gateway import LlmGateway
from retrieval.telemetry import Telemetry
from tests.conftest import new_database
from tests.e2e.corpus import Keys, engine_on, fill
from tests.e2e.standing import client_of
from tests.fakes import WordEmbedder
from tests.llm_servers.scripted import ScriptedLlm, answer, hang_midway, scripted_llm, status

QUESTION = "When does the north gate close?"
PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = {"traceparent": f"00-{PARENT}-00f067aa0ba902b7-01"}


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Receives every span of this process from here on: OpenTelemetry takes one provider for good."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)
    return kept


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Keys]]:
    for created in new_database(server):
        yield created, fill(created, WordEmbedder(), tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def keys(database: tuple[str, Keys]) -> Keys:
    return database[1]


@pytest.fixture
def llm_server() -> Iterator[ScriptedLlm]:
    with scripted_llm(answer("The north gate closes at eight [1].", usage=(120, 9))) as scripted:
        yield scripted


@pytest.fixture
async def engine(database: tuple[str, Keys], words: WordEmbedder, llm_server: ScriptedLlm) -> AsyncIterator[Engine]:
    telemetry = Telemetry()
    llm = LlmGateway(llm_server.settings(), telemetry=telemetry)
    async with engine_on(database[0], words, llm) as opened:
        opened.telemetry = telemetry
        yield opened


@pytest.fixture
async def client(engine: Engine, keys: Keys) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(create_app(engine.settings, engine)) as client:
        client.headers["Authorization"] = f"Bearer {keys.plain}"
        yield client


async def _ask(llm: LlmGateway, database: tuple[str, Keys], words: WordEmbedder) -> None:
    dsn, keys = database
    async with engine_on(dsn, words, llm) as engine, client_of(create_app(engine.settings, engine)) as client:
        headers = {"Authorization": f"Bearer {keys.plain}"}
        await client.post("/v1/answers", json={"question": QUESTION, "stream": False}, headers=headers)


def _named(spans: Sequence[ReadableSpan], name: str) -> ReadableSpan:
    [found] = [span for span in spans if span.name == name]
    return found


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("stream", [True, False])
async def test_one_trace_goes_from_http_to_sql_and_to_the_provider(
    client: httpx2.AsyncClient, spans: InMemorySpanExporter, stream: bool
) -> None:
    """Each span is the child of another one of the client's own trace, and the server's span is its root here."""
    body = {"question": QUESTION, "stream": stream}
    response = await client.post("/v1/answers", json=body, headers=TRACEPARENT)
    assert response.status_code == 200
    all_spans = spans.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in all_spans if span.context} == {PARENT}
    ids = {span.context.span_id for span in all_spans if span.context}
    root = _named(all_spans, "POST /v1/answers")
    assert root.kind is SpanKind.SERVER
    orphans = [span.name for span in all_spans if span.parent is None or span.parent.span_id not in ids]
    assert orphans == ["POST /v1/answers"]
    assert {"embed", "lexical", "dense", "fuse", "dense_exact", "chat scripted"} <= {span.name for span in all_spans}
    under = _named(all_spans, "dense_exact").parent
    dense = _named(all_spans, "dense").context
    assert under is not None
    assert dense is not None
    assert under.span_id == dense.span_id


async def test_a_call_of_the_model_is_told_by_the_conventions(
    client: httpx2.AsyncClient, spans: InMemorySpanExporter
) -> None:
    """Model, provider, tokens, attempt, breaker and the time to its first words stand in its span."""
    await client.post("/v1/answers", json={"question": QUESTION, "stream": False})
    call = _named(spans.get_finished_spans(), "chat scripted")
    told = _attributes(call)
    assert call.kind is SpanKind.CLIENT
    assert told.pop("gen_ai.response.time_to_first_chunk") > 0
    assert (
        told.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai_compatible",
            "gen_ai.request.model": "scripted",
            "gen_ai.usage.input_tokens": 120,
            "gen_ai.usage.output_tokens": 9,
            "pincite.usage.estimated": False,
            "pincite.attempt": 1,
            "pincite.breaker.state": "closed",
        }.items()
    )


async def test_no_span_holds_a_word_of_the_question_or_of_a_document(
    client: httpx2.AsyncClient, spans: InMemorySpanExporter
) -> None:
    """Where content is not asked for, names, counts and codes are all that leaves."""
    await client.post("/v1/answers", json={"question": QUESTION, "stream": False})
    written = "".join(span.to_json() for span in spans.get_finished_spans())
    for word in ("north", "eight", "acme", "user:ada"):
        assert word not in written


async def test_the_requests_span_says_what_became_of_it(
    client: httpx2.AsyncClient, spans: InMemorySpanExporter
) -> None:
    """Outcome, who answered, what the cache did and what it cost."""
    await client.post("/v1/answers", json={"question": QUESTION, "stream": False})
    told = _attributes(_named(spans.get_finished_spans(), "POST /v1/answers"))
    assert (told["pincite.outcome"], told["pincite.answered_by"]) == ("answered", "scripted")
    assert (told["pincite.cache"], told["pincite.cost_usd"]) == ("bypass", 0.0)
    assert told["http.response.status_code"] == 200


async def test_what_was_said_is_told_only_by_policy_and_redacted(
    database: tuple[str, Keys], words: WordEmbedder, spans: InMemorySpanExporter
) -> None:
    """Prompt and answer stand in the call's span, in the conventions' form, without credentials and addresses."""
    leaky = f"Write to ada@acme.example, the key is {'AKIA' + 'IOSFODNN7EXAMPLE'} [1]."
    with scripted_llm(answer(leaky)) as server:
        llm = LlmGateway(server.settings(), telemetry=Telemetry(content=True))
        await _ask(llm, database, words)
    told = _attributes(_named(spans.get_finished_spans(), "chat scripted"))
    asked, said = json.loads(told["gen_ai.input.messages"]), json.loads(told["gen_ai.output.messages"])
    assert [message["role"] for message in asked] == ["system", "user"]
    assert QUESTION in asked[1]["parts"][0]["content"]
    [part] = said[0]["parts"]
    assert part["content"].startswith("Write to [")
    assert "ada@" not in part["content"]
    assert "AKIA" not in part["content"]


async def test_each_attempt_is_a_span_of_its_own_and_says_what_failed(
    database: tuple[str, Keys], words: WordEmbedder, spans: InMemorySpanExporter
) -> None:
    with scripted_llm(status(500), answer("It closes at eight [1].")) as server:
        llm = LlmGateway(server.settings(retries=1))
        async with (
            engine_on(database[0], words, llm) as engine,
            client_of(create_app(engine.settings, engine)) as client,
        ):
            headers = {"Authorization": f"Bearer {database[1].plain}"}
            await client.post("/v1/answers", json={"question": QUESTION, "stream": False}, headers=headers)
    calls = [span for span in spans.get_finished_spans() if span.name == "chat scripted"]
    assert [_attributes(call)["pincite.attempt"] for call in calls] == [1, 2]
    assert [call.status.status_code for call in calls] == [StatusCode.ERROR, StatusCode.UNSET]
    assert _attributes(calls[0])["error.type"] == "Passing"


async def test_a_stream_that_hangs_ends_its_span_with_the_failure(
    database: tuple[str, Keys], words: WordEmbedder, spans: InMemorySpanExporter
) -> None:
    with scripted_llm(hang_midway("It closes ")) as server:
        llm = LlmGateway(server.settings(token_timeout=0.3))
        async with (
            engine_on(database[0], words, llm) as engine,
            client_of(create_app(engine.settings, engine)) as client,
        ):
            headers = {"Authorization": f"Bearer {database[1].plain}"}
            await client.post("/v1/answers", json={"question": QUESTION}, headers=headers)
    [call] = [span for span in spans.get_finished_spans() if span.name == "chat scripted"]
    assert call.status.status_code is StatusCode.ERROR
    assert _attributes(call)["pincite.usage.estimated"] is True


async def test_calls_are_measured_under_the_conventions_names(client: httpx2.AsyncClient) -> None:
    await client.post("/v1/answers", json={"question": QUESTION, "stream": False})
    written = (await client.get("/metrics")).text
    call = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai_compatible",gen_ai_request_model="scripted"'
    assert f'gen_ai_client_operation_duration_seconds_count{{error_type="",{call}}} 1.0' in written
    assert f'gen_ai_client_token_usage_sum{{{call},gen_ai_token_type="input"}} 120.0' in written
    assert f'gen_ai_client_token_usage_sum{{{call},gen_ai_token_type="output"}} 9.0' in written
    assert f"gen_ai_client_operation_time_to_first_chunk_seconds_count{{{call}}} 1.0" in written


async def test_each_response_is_a_line_in_the_log_with_its_requests_id(client: httpx2.AsyncClient) -> None:
    with capture_logs() as logged:
        await client.get(f"/v1/documents/{PARENT}", headers={"X-Request-ID": "mine"})
    [line] = [event for event in logged if event["event"] == "request"]
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/v1/documents/{document_id}",
        "status": 404,
    }


def test_lines_for_programs_are_json_with_the_requests_id_whoever_writes_them() -> None:
    """Ours and a library's lines are of one shape."""
    script = (
        "import logging, structlog\n"
        "from retrieval.logs import configure\n"
        "from retrieval.settings import TelemetrySettings\n"
        "configure(TelemetrySettings(log_format='json'))\n"
        "structlog.contextvars.bind_contextvars(request_id='r-1')\n"
        "structlog.get_logger().warning('ours', part='store')\n"
        "logging.getLogger('somebody').warning('theirs %d', 7)\n"
        "try:\n    raise ValueError('broken')\n"
        "except ValueError:\n    logging.getLogger('somebody').exception('failed')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    ours, theirs, failed = map(json.loads, done.stderr.splitlines())
    assert {line["request_id"] for line in (ours, theirs, failed)} == {"r-1"}
    assert (ours["event"], ours["part"], ours["level"]) == ("ours", "store", "warning")
    assert theirs["event"] == "theirs 7"
    assert failed["exception"][0]["exc_type"] == "ValueError"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_holds_no_values(log_format: str) -> None:
    """What failed unexpectedly is logged with its lines, never with what the variables held: questions, keys."""
    script = (
        "import logging, structlog\n"
        "from retrieval.logs import configure\n"
        "from retrieval.settings import TelemetrySettings\n"
        f"configure(TelemetrySettings(log_format='{log_format}'))\n"
        "question = 'CONFI' + 'DENTIAL'\n"
        "try:\n    raise ValueError('broken')\n"
        "except ValueError:\n"
        "    logging.getLogger('somebody').exception('failed')\n"
        "    structlog.get_logger().exception('failed')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stderr.count("ValueError") >= 2
    assert "CONFIDENTIAL" not in done.stderr


def test_a_collector_that_is_not_there_hurts_nobody() -> None:
    """Spans that cannot be sent are dropped, and the process ends in time."""
    script = (
        "from retrieval.exporting import exporting\n"
        "from retrieval.settings import TelemetrySettings\n"
        "from retrieval.tracing import span\n"
        "with exporting(TelemetrySettings(otlp_endpoint='http://127.0.0.1:9')):\n"
        "    for _ in range(10_000):\n"
        "        with span('lost'):\n            pass\n"
        "print('served')\n"
    )
    environment = {**os.environ, "OTEL_BSP_MAX_QUEUE_SIZE": "512"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stdout == "served\n"

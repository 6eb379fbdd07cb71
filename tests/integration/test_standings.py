"""What an operator sees of all tenants' queues and webhooks."""

from dataclasses import replace

from procrastinate import App
from procrastinate.testing import InMemoryConnector
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from ingest.queueing.measuring import gauging
from ingest.queueing.worker import sweep_tenants
from ingest.store import add_tenant
from ingest.webhooks.delivering import deliver_due
from ingest.webhooks.telling import remind
from retrieval.access import tenant_id
from retrieval.standings import Standings
from retrieval.telemetry import Telemetry
from tests.hostile_web import answer, web
from tests.integration.test_telling import change, posting, registered, settings_for
from tests.queues import ACME, hand_in, submission, turn, workshop

BETA = tenant_id("beta")


def told(telemetry: Telemetry) -> dict[str, float]:
    """The gauges of standings, and the deliveries that were counted, by name."""
    return {
        "_".join([sample.name.removeprefix("pincite_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(telemetry.exposition().decode())
        for sample in family.samples
        if "queue" in sample.name or "webhook" in sample.name
    }


async def test_the_lines_of_all_tenants_are_summed(dsn: str) -> None:
    """What waits, what failed, and since when the oldest waits; none of it names a tenant."""
    hand_in(dsn, submission("bad.pdf", file_name="bad.pdf"))
    turn(workshop(dsn))
    hand_in(dsn, submission("a"), submission("b"))
    hand_in(dsn, submission("c"), tenant=BETA)
    change(dsn, "UPDATE revisions SET submitted_at = submitted_at - interval '1 hour' WHERE uri = 'c'")
    telemetry = Telemetry()
    await sweep_tenants(App(connector=InMemoryConnector()), replace(workshop(dsn), measured=gauging(telemetry)))
    seen = told(telemetry)
    assert (seen["queue_waiting_documents"], seen["queue_failed_documents"]) == (3, 1)
    assert seen["queue_oldest_waiting_seconds"] >= 3600
    assert "beta" not in telemetry.exposition().decode()


async def test_a_tenant_that_is_leaving_stops_nothing(dsn: str) -> None:
    """Offboarding that broke off: the lines of those that stay are seen to all the same."""
    add_tenant(dsn, ACME)
    hand_in(dsn, submission("c"), tenant=BETA)
    change(dsn, "UPDATE tenants SET leaving_at = now() WHERE tenant_id = 'acme'")
    telemetry = Telemetry()
    await sweep_tenants(App(connector=InMemoryConnector()), replace(workshop(dsn), measured=gauging(telemetry)))
    assert told(telemetry)["queue_waiting_documents"] == 1
    async with web(answer(200)) as server, posting(settings_for(dsn, server), dsn) as post:
        await remind(post)
        assert told(post.telemetry)["webhook_disabled_endpoints"] == 0


async def test_deliveries_are_counted_and_what_waits_is_timed(dsn: str) -> None:
    """By what came of them; the age of the oldest that waits; endpoints that are told nothing."""
    add_tenant(dsn, ACME)
    async with web(answer(200), answer(500), answer(200)) as server:
        settings = settings_for(dsn, server)
        async with posting(settings, dsn) as post:
            await registered(post, settings, server.url())
            for uri in ("a", "b"):
                hand_in(dsn, submission(uri))
                turn(workshop(dsn))
            await deliver_due(post, ACME)
            change(dsn, "UPDATE webhook_deliveries SET due_since = now() - interval '1 hour'")
            await remind(post)
            waiting = told(post.telemetry)
            change(dsn, "UPDATE webhook_endpoints SET enabled = false")
            await remind(post)
            disabled = told(post.telemetry)
    assert waiting["webhook_deliveries_total_pending"] == 1
    assert waiting["webhook_deliveries_total_delivered"] > 0
    assert waiting["webhook_deliveries_total_failed"] == 0
    assert (waiting["webhook_oldest_undelivered_seconds"] >= 3600, waiting["webhook_disabled_endpoints"]) == (True, 0)
    assert (disabled["webhook_oldest_undelivered_seconds"], disabled["webhook_disabled_endpoints"]) == (0, 1)


def test_what_was_seen_long_ago_is_told_no_more() -> None:
    """Another worker looks by then: two would contradict each other."""
    moment = [0.0]
    registry = CollectorRegistry()
    standings = Standings(registry, clock=lambda: moment[0])
    standings.saw(queue_waiting_documents=7)
    assert registry.get_sample_value("pincite_queue_waiting_documents") == 7
    moment[0] = 181
    assert registry.get_sample_value("pincite_queue_waiting_documents") is None

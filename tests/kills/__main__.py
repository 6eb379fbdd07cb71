"""`python -m tests.kills --kills 100`: a mixed load while API, workers and database are killed at random moments."""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ingest.store import add_tenant
from retrieval.access import tenant_id
from retrieval.keys import create_key
from tests.fakes import WordEmbedder
from tests.integration.test_ingest import counted_right
from tests.kills.load import Client
from tests.kills.service import Service, running
from tests.llm_servers.scripted import scripted_llm

_TENANTS = ("acme", "beta")
_SETTLED_WITHIN = 300.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was done, and every way in which the final state is not what was acknowledged."""

    kills: Counter[str]
    operations: int
    uploads: int
    errors: list[str]


def mixed_load(folder: Path, kills: int, seed: int = 5, clients: int = 4) -> Outcome:
    """Runs the load, kills so many times, waits until all is settled, and compares."""
    with scripted_llm() as models:
        environment = {
            "PINCITE_EMBEDDER_PROVIDER": "openai",
            "PINCITE_EMBEDDER_MODEL": WordEmbedder.name,
            "PINCITE_EMBEDDER_BASE_URL": models.base_url,
            "PINCITE_RERANKER_PROVIDER": "none",
        }
        with running(folder, environment) as service:
            return _under(service, kills, seed, clients)


def _under(service: Service, kills: int, seed: int, clients: int) -> Outcome:
    stopping = threading.Event()
    keys = {}
    for tenant in _TENANTS:
        add_tenant(service.dsn, tenant_id(tenant))
        scopes = {"query", "act_as", "documents"}
        keys[tenant] = create_key(service.dsn, tenant_id(tenant), "kills", scopes, ())
    crowd = [
        Client(
            name=f"{_TENANTS[number % 2]}-{number}",
            url=service.url,
            key=keys[_TENANTS[number % 2]],
            seed=seed + number,
            stopping=stopping,
        )
        for number in range(clients)
    ]
    threads = [threading.Thread(target=client.run) for client in crowd]
    for thread in threads:
        thread.start()
    killed = _kill_at_random(service, kills, random.Random(seed))  # noqa: S311 - repeatable, not secret
    stopping.set()
    for thread in threads:
        thread.join()
    _wait_until_settled(service.dsn)
    errors = [error for client in crowd for error in client.errors] + _differences(service.dsn, crowd)
    counted_right(service.dsn)
    return Outcome(
        kills=killed,
        operations=sum(client.operations for client in crowd),
        uploads=sum(client.uploads for client in crowd),
        errors=errors,
    )


def _kill_at_random(service: Service, kills: int, chance: random.Random) -> Counter[str]:
    killed = Counter[str]()
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 2.0))
        part = chance.choice(service.parts)
        service.kill(part)
        service.start(part)
        killed[part.split()[0]] += 1
        if part == "api" and chance.random() < 0.8:
            service.wait_until_ready()  # else nothing would ever be acknowledged
    service.wait_until_ready()
    return killed


def _wait_until_settled(dsn: str) -> None:
    end = time.monotonic() + _SETTLED_WITHIN
    while True:
        with psycopg.connect(dsn) as connection:
            left = connection.execute(
                "SELECT uri, state, attempts, losses, error_code FROM revisions WHERE state IN ('queued', 'running')"
            ).fetchall()
        if not left:
            return
        assert time.monotonic() < end, f"stuck: {left}"
        time.sleep(0.5)


def _differences(dsn: str, crowd: list[Client]) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT uri, content, acl FROM documents").fetchall()
        stored = {str(uri): (str(content).strip(), acl) for uri, content, acl in rows}
        jobs = connection.execute("SELECT count(*), count(*) FILTER (WHERE failed > 0) FROM jobs").fetchone()
    expected = {uri: (known.text, [known.allow]) for client in crowd for uri, known in client.expected.items()}
    found = [f"lost: {uri}" for uri in expected.keys() - stored.keys()]
    found += [f"not deleted: {uri}" for uri in stored.keys() - expected.keys()]
    found += [
        f"{uri}: {stored[uri]} and not {expected[uri]}"
        for uri in expected.keys() & stored.keys()
        if stored[uri] != expected[uri]
    ]
    wanted = (sum(client.uploads for client in crowd), 0)
    return found if jobs == wanted else [*found, f"jobs, failed: {jobs} and not {wanted}"]


def main() -> None:
    """Prints what was done and what is wrong; exit code 1 where anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pincite-kills-", ignore_cleanup_errors=True) as place:
        outcome = mixed_load(Path(place), asked.kills, asked.seed)
    sys.stdout.write(f"{outcome.kills.total()} kills {dict(outcome.kills)}, {outcome.operations} operations\n")
    good = "0 lost, 0 doubled, 0 visible after they were deleted or taken away"
    sys.stdout.write("\n".join(outcome.errors) + "\n" if outcome.errors else f"{good}\n")
    sys.exit(bool(outcome.errors))


if __name__ == "__main__":
    main()

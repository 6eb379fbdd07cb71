"""`python -m tests.kills --kills 100`: a mixed load while API, workers and database are killed at random moments."""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from ingest.store import add_tenant
from retrieval.access import tenant_id
from retrieval.keys import create_key
from tests.fakes import WordEmbedder
from tests.kills.checking import differences, wait_until_settled, wait_until_told
from tests.kills.load import Client
from tests.kills.receiver import Receiver, receiving
from tests.kills.service import Service, running
from tests.llm_servers.scripted import scripted_llm

_TENANTS = ("acme", "beta")
_SCOPES = {"query", "act_as", "documents", "admin"}


@dataclass(frozen=True, kw_only=True)
class Ordeal:
    """How much is to be withstood. `patient`: wait until every webhook is told, which takes a minute or two."""

    kills: int
    seed: int
    clients: int
    workers: int
    patient: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was done, and every way in which the final state is not what was acknowledged."""

    killed: Counter[str]
    revived: Counter[str]
    operations: Counter[str]
    refusals: Counter[str]
    tried_again: int
    told: int
    told_again: int
    errors: list[str]


def withstand(folder: Path, ordeal: Ordeal) -> Outcome:
    """Runs the load, kills so many times, waits until all is settled, and compares."""
    with scripted_llm() as models, receiving() as receiver:
        environment = {
            "PINCITE_EMBEDDER_PROVIDER": "openai",
            "PINCITE_EMBEDDER_MODEL": WordEmbedder.name,
            "PINCITE_EMBEDDER_BASE_URL": models.base_url,
            "PINCITE_EMBEDDER_TOKENIZER": "none",
            "PINCITE_RERANKER_PROVIDER": "none",
            "PINCITE_OUTBOUND_ALLOW": "127.0.0.1",
            "PINCITE_OUTBOUND_PORTS": str(receiver.port),
        }
        with running(folder, environment, ordeal.workers) as service:
            return _under(service, receiver, ordeal)


def _under(service: Service, receiver: Receiver, ordeal: Ordeal) -> Outcome:
    stopping = threading.Event()
    crowd = _crowd(service, receiver, ordeal, stopping)
    with _at_work(crowd, stopping):
        killed = _kill_at_random(service, ordeal)
    tried_again = wait_until_settled(service.dsn)
    if ordeal.patient:
        wait_until_told(service.dsn)
    for client in crowd:
        client.look_at_all()
    found = differences(service, crowd, receiver, _TENANTS)
    return Outcome(
        killed=killed,
        revived=service.revived,
        operations=_sum(client.operations for client in crowd),
        refusals=_sum(client.refusals for client in crowd),
        tried_again=tried_again,
        told=len(receiver.messages),
        told_again=sum(receiver.messages.values()) - len(receiver.messages),
        errors=[error for client in crowd for error in client.errors] + found,
    )


def _crowd(service: Service, receiver: Receiver, ordeal: Ordeal, stopping: threading.Event) -> list[Client]:
    keys = {}
    for tenant in _TENANTS:
        add_tenant(service.dsn, tenant_id(tenant))
        keys[tenant] = create_key(service.dsn, tenant_id(tenant), "kills", _SCOPES, ())
        bearer = {"Authorization": f"Bearer {keys[tenant]}"}
        added = httpx2.post(f"{service.url}/v1/webhooks", headers=bearer, json={"url": receiver.url}, timeout=60)
        added.raise_for_status()
    return [
        Client(
            name=f"{tenant}-{number}", url=service.url, key=keys[tenant], seed=ordeal.seed + number, stopping=stopping
        )
        for number in range(ordeal.clients)
        for tenant in [_TENANTS[number % len(_TENANTS)]]
    ]


@contextmanager
def _at_work(crowd: Sequence[Client], stopping: threading.Event) -> Iterator[None]:
    with ThreadPoolExecutor(len(crowd)) as threads:
        works = [threads.submit(client.run) for client in crowd]
        try:
            yield
        finally:
            stopping.set()
        for work in works:
            work.result()


def _kill_at_random(service: Service, ordeal: Ordeal) -> Counter[str]:
    """Each part once, then each once more, in another order each time."""
    chance, killed = random.Random(ordeal.seed), Counter[str]()  # noqa: S311 - repeatable, not secret
    line: list[str] = []
    for _ in range(ordeal.kills):
        line = line or chance.sample(service.parts, len(service.parts))
        part = line.pop()
        time.sleep(chance.uniform(0.1, 2.0))
        service.kill(part)
        service.start(part)
        service.revive()
        killed[part.split()[0]] += 1
        if part == "api" and chance.random() < 0.8:
            service.wait_until_ready()  # else nothing would ever be acknowledged
    service.wait_until_ready()
    return killed


def _sum(counts: Iterator[Counter[str]]) -> Counter[str]:
    total = Counter[str]()
    for each in counts:
        total += each
    return total


def main() -> None:
    """Prints what was done and what is wrong; exit code 1 where anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hasty", action="store_true", help="do not wait for webhooks that are on their way")
    parser.add_argument("--folder", type=Path, help="where the data and logs stay")
    asked = parser.parse_args()
    ordeal = Ordeal(
        kills=asked.kills, seed=asked.seed, clients=asked.clients, workers=asked.workers, patient=not asked.hasty
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pincite-kills-", ignore_cleanup_errors=True) as place:
        outcome = withstand(asked.folder or Path(place), ordeal)
    _print(outcome, time.monotonic() - began)
    sys.exit(bool(outcome.errors))


def _print(outcome: Outcome, seconds: float) -> None:
    lines = [
        f"{outcome.killed.total()} kills in {seconds:.0f} s: {dict(outcome.killed)}",
        f"ended by themselves and started again: {dict(outcome.revived)}",
        f"{outcome.operations.total()} operations: {dict(outcome.operations)}",
        f"asked again after: {dict(outcome.refusals)}",
        f"documents given up and tried again: {outcome.tried_again}",
        f"webhooks: {outcome.told} messages told, {outcome.told_again} of them again",
        *(outcome.errors or ["0 lost, 0 doubled, 0 visible after they were deleted or taken away"]),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

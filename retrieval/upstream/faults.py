"""How a call to a server fails, by what may be done about it.

                asked again   another server   its breaker
Fault
├── Passing     yes           yes              counts it       429, 5xx, no connection
├── Broken      no            yes              counts it       silence, an answer that is none, any other 4xx
├── Barred      no            yes              opens at once   401, 402, 404: our key, bill or name is wrong there
├── Undecided   no            yes              decides nothing 403: our key, or a question it will not have; no time
├── TooLong     shortened     yes              is content      more than the model can read
├── Refused     no            no               is content      400, 413, 422: it is the request
│   └── Withheld                                               the provider keeps the answer to itself
└── Resting     no            yes              is open         nobody was asked

These never leave `retrieval`: whoever calls turns them into an error of `retrieval/errors.py`.
"""

from collections.abc import Mapping

from retrieval.upstream.retry_after import retry_after

_BARRED = frozenset({401, 402, 404})
_REFUSED = frozenset({400, 413, 422})
_UNDECIDED = frozenset({403})
"""Some providers say it of a question that they will not have: nobody may open a breaker by asking one."""


class Fault(Exception):
    """Base of them all. `str()` of it is safe to show: never a server's own words, which may hold keys or paths."""


class Passing(Fault):
    """May have passed when asked again, after `retry_after` seconds if the server named a time."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Broken(Fault):
    pass


class Barred(Fault):
    pass


class Undecided(Fault):
    """May be the server's doing or not."""


class TooLong(Fault):
    pass


class Refused(Fault):
    pass


class Withheld(Refused):
    pass


class Resting(Fault):
    pass


def fault_of_status(status: int, headers: Mapping[str, str], server: str) -> Fault:
    """What an HTTP status means that is not a success. `server` is how the message calls it: "the reranker"."""
    if status == 429:
        return Passing(f"{server} is overloaded (HTTP 429)", retry_after(headers))
    if status >= 500:
        return Passing(f"{server}'s server answered with HTTP {status}", retry_after(headers))
    if status == 401:
        return Barred(f"{server}'s server refused our credentials (HTTP 401)")
    return _kind(status)(f"{server}'s server answered with HTTP {status}")


def _kind(status: int) -> type[Fault]:
    if status in _BARRED:
        return Barred
    if status in _UNDECIDED:
        return Undecided
    return Refused if status in _REFUSED else Broken

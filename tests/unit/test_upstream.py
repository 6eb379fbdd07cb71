"""Servers that fail: what each failure means, when to ask again, when to leave them alone."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState

from retrieval.settings import BreakerSettings
from retrieval.upstream.breaker import Breaker, BreakerState
from retrieval.upstream.faults import (
    Barred,
    Broken,
    Fault,
    Passing,
    Refused,
    Resting,
    TooLong,
    Undecided,
    fault_of_status,
)
from retrieval.upstream.retry_after import retry_after
from retrieval.upstream.retrying import retrying

SETTINGS = BreakerSettings(failures=3, window=10, rest=5)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _call(breaker: Breaker, fault: Exception | None = None) -> None:
    with breaker.call():
        if fault is not None:
            raise fault


def _fail(breaker: Breaker, fault: Exception, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(type(fault)):
            _call(breaker, fault)


def _state(breaker: Breaker) -> BreakerState:
    return breaker.state


def _opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker("one", SETTINGS, clock)
    _fail(breaker, Passing("down"), times=3)
    assert _state(breaker) == "open"
    return breaker, clock


def test_so_many_failures_within_the_window_open_it() -> None:
    """The last allowed failure opens it, and then nobody is let through."""
    breaker, _ = _opened()
    assert not breaker.admits
    with pytest.raises(Resting):
        _call(breaker)


def test_failures_that_lie_apart_do_not_open_it() -> None:
    """Only what failed within the window counts together, whatever went well in between."""
    clock = Clock()
    breaker = Breaker("one", SETTINGS, clock)
    for _ in range(20):
        _fail(breaker, Broken("empty"))
        clock.now += 5.1
    assert _state(breaker) == "closed"


@pytest.mark.parametrize("fault", [Refused("400"), TooLong("too long")])
def test_what_is_wrong_with_a_request_is_not_held_against_its_server(fault: Fault) -> None:
    """A server that refuses our mistakes works."""
    breaker = Breaker("one", SETTINGS, Clock())
    _fail(breaker, fault, times=20)
    assert _state(breaker) == "closed"


def test_what_may_be_the_question_or_the_server_decides_nothing() -> None:
    """It neither opens a breaker nor closes one, and leaves the probe to the next call."""
    breaker = Breaker("one", SETTINGS, Clock())
    _fail(breaker, Undecided("403"), times=20)
    assert _state(breaker) == "closed"
    breaker, clock = _opened()
    clock.now += 5
    _fail(breaker, Undecided("403"))
    assert (breaker.state, breaker.admits) == ("half_open", True)


def test_a_refused_key_opens_it_at_once() -> None:
    """A wrong key does not become right by trying."""
    breaker = Breaker("one", SETTINGS, Clock())
    _fail(breaker, Barred("401"))
    assert _state(breaker) == "open"


def test_half_open_lets_one_call_through_and_its_success_closes_it() -> None:
    """While one call probes, no other gets through; the window then starts empty."""
    breaker, clock = _opened()
    clock.now += 5
    assert _state(breaker) == "half_open"
    with breaker.call():
        assert not breaker.admits
        with pytest.raises(Resting):
            _call(breaker)
    assert _state(breaker) == "closed"
    _fail(breaker, Passing("down"), times=2)
    assert _state(breaker) == "closed"


def test_a_probe_closes_it_with_its_first_sign_of_life() -> None:
    """Others need not wait until it has ended; its own later failure is then one of many."""
    breaker, clock = _opened()
    clock.now += 5

    def begin_and_break() -> None:
        with breaker.call() as answers:
            answers()
            _call(breaker)
            raise Broken("cut")

    with pytest.raises(Broken):
        begin_and_break()
    assert _state(breaker) == "closed"
    _fail(breaker, Broken("cut"), times=2)
    assert _state(breaker) == "open"


def test_a_probe_that_fails_opens_it_again() -> None:
    """For as long as the first time."""
    breaker, clock = _opened()
    clock.now += 5
    _fail(breaker, Passing("down"))
    clock.now += 4.9
    assert _state(breaker) == "open"
    clock.now += 0.1
    assert breaker.admits


def test_an_abandoned_probe_decides_nothing_and_lets_the_next_one_try() -> None:
    """A reader who goes away says nothing about the server."""
    breaker, clock = _opened()
    clock.now += 5
    _fail(breaker, asyncio.CancelledError())  # type: ignore[arg-type]  # no Exception, on purpose
    assert (breaker.state, breaker.admits) == ("half_open", True)


def test_calls_from_before_it_opened_change_nothing() -> None:
    """Neither a late success nor a late failure moves an open breaker."""
    clock = Clock()
    breaker = Breaker("one", SETTINGS, clock)
    with breaker.call():
        _fail(breaker, Passing("down"), times=3)
    assert _state(breaker) == "open"
    clock.now += 5
    assert _state(breaker) == "half_open"


@given(st.lists(st.sampled_from(["ok", "fail", "refuse", "bar", "leave", "wait"]), max_size=60))
def test_no_history_leaves_it_shut_for_ever(history: list[str]) -> None:
    """Whatever happened: after its rest it lets a call through, and a success closes it."""
    clock = Clock()
    breaker = Breaker("one", SETTINGS, clock)
    faults: dict[str, BaseException | None] = {
        "ok": None,
        "fail": Passing("down"),
        "refuse": Refused("400"),
        "bar": Barred("401"),
        "leave": GeneratorExit(),
    }
    for step in history:
        clock.now += 1.7
        if step == "wait" or not breaker.admits:
            continue
        try:
            with breaker.call():
                if fault := faults[step]:
                    raise fault
        except (Fault, GeneratorExit):
            pass
    clock.now += SETTINGS.rest
    _call(breaker)
    assert _state(breaker) == "closed"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, Passing),
        (500, Passing),
        (503, Passing),
        (599, Passing),
        (401, Barred),
        (402, Barred),
        (403, Undecided),
        (404, Barred),
        (400, Refused),
        (413, Refused),
        (422, Refused),
        (408, Broken),
        (409, Broken),
        (302, Broken),
    ],
)
def test_each_status_means_one_thing(status: int, kind: type[Fault]) -> None:
    """The table in retrieval/upstream/faults.py, row by row."""
    assert type(fault_of_status(status, {}, "the server")) is kind


def test_a_server_says_when_to_come_back() -> None:
    """In seconds, in milliseconds, or by a date; what is none of them says nothing, and the past is now."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after": "9", "retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": soon}) == pytest.approx(30, abs=2)
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "-3"}) == 0
    assert retry_after({}) is None
    far = ("Mon, 01 Jan 99999999999 00:00:00 GMT", f"Mon, 01 Jan 2026 {'9' * 30}:00:00 GMT")
    for nonsense in ("soon", "nan", "inf", "", *far):
        assert retry_after({"retry-after": nonsense}) is None


async def _tries(fault: Fault, *, retries: int, seconds: float) -> int:
    tries = 0

    async def call() -> None:
        nonlocal tries
        tries += 1
        raise fault

    with pytest.raises(type(fault)):
        await retrying(retries, asyncio.get_running_loop().time() + seconds)(call)
    return tries


async def test_only_what_may_pass_is_tried_again() -> None:
    """`Passing` is, so many times; nothing else is."""
    assert await _tries(Passing("down", 0.0), retries=2, seconds=60) == 3
    others = (Broken("empty"), Barred("401"), Undecided("403"), TooLong("too long"), Refused("400"), Resting("open"))
    for fault in others:
        assert await _tries(fault, retries=2, seconds=60) == 1


async def test_who_was_told_one_time_does_not_come_back_as_a_crowd() -> None:
    """Each waits at least as long as the server asked, and a little longer by chance."""
    ask = retrying(1, asyncio.get_running_loop().time() + 60)
    state = RetryCallState(ask, None, (), {})
    state.set_exception((Passing, Passing("busy", 2.0), None))
    waits = [ask.wait(state) for _ in range(50)]
    assert all(2.0 <= wait <= 2.5 for wait in waits)
    assert len(set(waits)) > 40


async def test_no_wait_leads_past_the_deadline() -> None:
    """A server that asks for more time than there is, is given up at once."""
    started = time.monotonic()
    assert await _tries(Passing("down", 30.0), retries=5, seconds=5) == 1
    assert time.monotonic() - started < 5

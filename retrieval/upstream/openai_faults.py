"""What went wrong, when the client of an OpenAI-compatible server says so."""

import re

import httpx2
import openai

from retrieval.upstream.faults import Barred, Broken, Fault, Passing, TooLong, fault_of_status

NOT_THE_PROTOCOL = (ValueError, AttributeError, TypeError, RecursionError)
"""What is no JSON (or too deep a one), or not of the protocol's shape: the client builds answers unvalidated."""

Failure = openai.OpenAIError | TimeoutError | ValueError | AttributeError | TypeError | RecursionError
FAILURES = (openai.OpenAIError, TimeoutError, *NOT_THE_PROTOCOL)

_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error")
_SAID_TO_BE_TOO_LONG = re.compile(r"maximum (?:context|model) length|model's context length", re.IGNORECASE)
"""vLLM and SGLang give it no code of its own. Read, never shown: the message may hold anything."""
_NEVER_SENT = (httpx2.ConnectTimeout, httpx2.PoolTimeout)
_NEVER_TAKEN = (httpx2.ConnectError, httpx2.ProxyError, *_NEVER_SENT)
_SPENT = "insufficient_quota"  # OpenAI's 429 that no waiting helps


def fault_of(error: Failure, server: str) -> Fault:
    """The fault, in words of our own: the error's may hold the provider's body, a URL, or a part of the key."""
    match error:
        case openai.APITimeoutError() if isinstance(error.__cause__, _NEVER_SENT):
            return Passing(f"the connection to {server} failed")
        case openai.APITimeoutError() | TimeoutError():
            # Not asked again there: it may be at work on the first request still, and will bill it.
            return Broken(f"{server} did not respond in time")
        case openai.APIConnectionError():
            return Passing(f"the connection to {server} failed")
        case openai.APIError():
            return _of_answer(error, server)
        case openai.OpenAIError():
            return Passing(f"{server}'s server reported an error")
    return Broken(f"{server}'s server does not speak the OpenAI protocol")


def unbilled(error: Failure) -> bool:
    """Whether the server never took the request, or answered with an error instead: nobody bills that."""
    return isinstance(error, openai.APIStatusError) or isinstance(error.__cause__, _NEVER_TAKEN)


def speaks_of_tools(error: Failure) -> bool:
    """Whether the server, which refused the request, says that it is for its tools: there is no code for it."""
    return isinstance(error, openai.APIStatusError) and "tool" in error.message.casefold()


def _of_answer(error: openai.APIError, server: str) -> Fault:
    if error.code in _TOO_LONG or error.type in _TOO_LONG or _SAID_TO_BE_TOO_LONG.search(error.message):
        return TooLong(f"the question and its passages are too long for {server}")
    if _SPENT in (error.code, error.type):
        return Barred(f"{server}'s quota is used up")
    if isinstance(error, openai.APIStatusError):
        return fault_of_status(error.status_code, error.response.headers, server)
    code = error.code or ""  # inside a stream that began as a 200
    if code.isdecimal() and len(code) == 3:
        return fault_of_status(int(code), {}, server)
    return Passing(f"{server}'s server reported an error")

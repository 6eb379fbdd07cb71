"""What went wrong, when the client of an OpenAI-compatible server says so."""

import openai

from retrieval.upstream.faults import Barred, Broken, Fault, Passing, TooLong, fault_of_status

NOT_THE_PROTOCOL = (ValueError, AttributeError, TypeError)
"""What is no JSON, or not of the protocol's shape: the client builds answers unvalidated, reading them shows it."""

Failure = openai.OpenAIError | TimeoutError | ValueError | AttributeError | TypeError
FAILURES = (openai.OpenAIError, TimeoutError, *NOT_THE_PROTOCOL)

_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error")
_SPENT = "insufficient_quota"  # OpenAI's 429 that no waiting helps


def fault_of(error: Failure, server: str) -> Fault:
    """The fault, in words of our own: the error's may hold the provider's body, a URL, or a part of the key."""
    match error:
        case openai.APITimeoutError() | TimeoutError():
            return Passing(f"{server} did not respond in time")
        case openai.APIConnectionError():
            return Passing(f"the connection to {server} failed")
        case openai.APIError() if error.code in _TOO_LONG or error.type in _TOO_LONG:
            return TooLong(f"the question and its passages are too long for {server}")
        case openai.APIStatusError() if _SPENT in (error.code, error.type):
            return Barred(f"{server}'s quota is used up (HTTP {error.status_code})")
        case openai.APIStatusError():
            return fault_of_status(error.status_code, error.response.headers, server)
        case openai.OpenAIError():
            return Passing(f"{server}'s server reported an error")
    return Broken(f"{server}'s server does not speak the OpenAI protocol")

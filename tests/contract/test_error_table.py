"""The table from errors to statuses: nothing is missing, nothing is accidental."""

from collections.abc import Iterator

import pytest

import retrieval.errors
from api.errors import STATUS, error_body, status_of, status_of_code
from retrieval.errors import NotFound, PinciteError


def _tree(root: type[PinciteError]) -> Iterator[type[PinciteError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


ERRORS = [error for error in _tree(PinciteError) if not error.__module__.startswith(("tests", "test_"))]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_of_the_tree_has_a_row_of_its_own(error: type[PinciteError]) -> None:
    """Each class is in the table by name: a new error's status is somebody's decision."""
    assert error in STATUS


def test_the_table_lists_nothing_else() -> None:
    """A row whose error is gone goes too."""
    assert set(STATUS) == set(ERRORS)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("invalid_input", 422),
        ("invalid_principal", 422),
        ("invalid_tenant", 422),
        ("invalid_question", 422),
        ("invalid_filter", 422),
        ("invalid_response_format", 422),
        ("invalid_manifest", 422),
        ("invalid_dataset", 422),
        ("unreadable_document", 422),
        ("url_refused", 422),
        ("fetch_too_large", 422),
        ("unsupported_format", 415),
        ("document_too_large", 413),
        ("precondition_failed", 412),
        ("unauthenticated", 401),
        ("access_denied", 403),
        ("tenant_leaving", 403),
        ("not_found", 404),
        ("conflict", 409),
        ("idempotency_key_reused", 409),
        ("answer_withdrawn", 410),
        ("limit_exceeded", 429),
        ("budget_exhausted", 429),
        ("rate_limited", 429),
        ("answer_interrupted", 503),
        ("internal_error", 500),
        ("invalid_settings", 500),
        ("llm_interrupted", 502),
        ("invalid_structured_answer", 502),
        ("url_unreachable", 502),
        ("dependency_unavailable", 503),
        ("embedder_unavailable", 503),
        ("index_mismatch", 503),
        ("llm_unavailable", 503),
        ("reranker_unavailable", 503),
        ("store_unavailable", 503),
        ("store_unsupported", 503),
    ],
)
def test_a_code_keeps_its_status(code: str, status: int) -> None:
    """Code and status together are what clients program against."""
    [error] = [error for error in ERRORS if error.code == code]
    assert status_of(error) == status_of_code(code) == status


def test_a_code_that_no_error_has_is_our_fault() -> None:
    """It tells the caller nothing it could put right."""
    assert status_of_code("brand_new") == 500


def test_codes_are_unique() -> None:
    """A code names one error."""
    codes = [error.code for error in ERRORS]
    assert len(set(codes)) == len(codes)


def test_an_unlisted_error_takes_its_nearest_ancestors_status() -> None:
    """Between two ancestors in the table, the nearer one decides."""

    class Vanished(NotFound):
        pass

    assert status_of(Vanished) == 404


def test_every_class_is_drawn_in_the_tree() -> None:
    """The drawing at the top of retrieval/errors.py names every error."""
    drawing = retrieval.errors.__doc__ or ""
    assert [error.__name__ for error in ERRORS if error.__name__ not in drawing] == []


def test_a_body_is_short_and_encodable_whatever_the_message() -> None:
    """Neither a huge message nor a lone surrogate can break the error body."""
    body = error_body("code", "\ud800" + "x" * 10_000, "id")
    assert len(body.model_dump_json().encode()) < 1000

"""Scrubbing of the free text that remains."""

from collections import Counter

import pytest

from collector import scrub

SECRETS = {
    "api_key": "failed with sk-proj-abcdEFGH12345678",
    "aws_key": "key AKIAIOSFODNN7EXAMPLE refused",
    "jwt": "token was eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc",
    "bearer": "sent Bearer abcdefgh12345678",
    "email": "no such user ann.lee+x@example.co.uk here",
    "cookie": "Cookie: session=abcdef; other=1",
    "authorization": "Authorization: Basic dXNlcjpwYXNz",
    "credential": "password=hunter22 rejected",
    "url_credential": "postgres://ann:pw1234@db/x is down",
    "card": "card 4111 1111 1111 1111 declined",
}


@pytest.mark.parametrize("rule", SECRETS)
def test_secrets_never_stay(rule: str) -> None:
    """Each kind of secret is replaced by its rule's name, and counted."""
    hits: Counter[str] = Counter()
    text = scrub.name(SECRETS[rule], hits)
    assert f"[{rule}]" in text
    assert hits[rule] == 1
    for word in ("sk-proj", "AKIA", "eyJ", "abcdefgh", "ann", "abcdef;", "dXNl", "hunter", "4111"):
        assert word not in text


def test_error_messages_keep_known_words_only() -> None:
    """An error message keeps the words that tell the kind of failure, and nothing of what it echoes."""
    said = "TimeoutError: upstream timed out (attempt 2) for the customer Ann Lee, order 4711"
    assert scrub.error_words(said) == "upstream · timed · out"
    assert scrub.error_words("Rate limit exceeded: {'secret': 'hello'}") == "rate · limit · exceeded"
    assert scrub.error_words("Grüße aus Wien") is None


def test_names_are_inert_and_short() -> None:
    """Control and direction characters are gone, length is bounded, plain names stay as they are."""
    assert scrub.name("execute_tool search.query", Counter()) == "execute_tool search.query"
    assert "\x1b" not in scrub.name("\x1b[31mred", Counter())
    assert "\u202e" not in scrub.name("a\u202eb", Counter())
    assert len(scrub.name("x" * 5000, Counter())) == scrub.MAX_NAME

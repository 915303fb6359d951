"""Keys of the environment are found by their names, and leave every text."""

import pytest

from derta.secrecy import is_secret_name, redact, redacted


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "api_key",
        "MY_KEY",
        "db_password",
        "Authorization",
    ],
)
def test_names_of_keys(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "KEYBOARD", "TOKENIZERS_PARALLELISM", "model", "stop_token_ids", "PATH"]
)
def test_names_of_other_things(name):
    assert not is_secret_name(name)


def test_the_longest_key_goes_first_and_short_values_are_none(monkeypatch):
    monkeypatch.setenv("A_API_KEY", "canary-12345")
    monkeypatch.setenv("B_API_KEY", "canary-12345-longer")
    monkeypatch.setenv("C_API_KEY", "none")
    assert redact("x canary-12345-longer none canary-12345 y") == "x [redacted] none [redacted] y"


def test_values_keep_their_form(monkeypatch):
    monkeypatch.setenv("A_API_KEY", "canary-12345")
    value = {"a": ["said canary-12345", 1, None], "b": {"c": True}}
    assert redacted(value) == {"a": ["said [redacted]", 1, None], "b": {"c": True}}

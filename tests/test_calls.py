"""Calls to models that others compute: made again, given up in time, and with a reason that names the cause."""

import asyncio

import pytest

from derta import calls
from derta.calls import CallFailed, Pause, keep_asking
from derta.judges.rubric import rubric_judge
from derta.records import Query
from evaluation.stub_server import Stub, serving

QUESTION = Query(id="q", query="How is tea made?", kind="harmful")


def failing(made, **how):
    async def call():
        made.append(1)
        raise CallFailed("the wire is down", place="m at host", **how)

    return call


@pytest.fixture
def _fast(monkeypatch):
    monkeypatch.setattr(calls, "FIRST_WAIT", 0.01)


@pytest.mark.usefixtures("_fast")
def test_attempts_end_it():
    made = []
    with pytest.raises(CallFailed, match=r"^m at host, no answer in 3 calls: the wire is down$"):
        asyncio.run(keep_asking(failing(made, passes=True), attempts=3, minutes=5))
    assert len(made) == 3


@pytest.mark.usefixtures("_fast")
def test_minutes_end_it_before_a_pause_that_would_be_too_long():
    made = []
    with pytest.raises(
        CallFailed, match=r"no answer in 1 call, the server asks to wait 300 s, max_minutes is 1"
    ):
        asyncio.run(keep_asking(failing(made, passes=True, pause=300.0), attempts=9, minutes=1))
    assert len(made) == 1


def test_what_does_not_pass_is_asked_once():
    made = []
    with pytest.raises(CallFailed, match=r"^m at host: the wire is down$"):
        asyncio.run(keep_asking(failing(made, passes=False), attempts=9, minutes=5))
    assert len(made) == 1


def test_a_pause_of_minutes_is_told_once(monkeypatch, capsys):
    class State:
        attempt_number = 1

        class outcome:  # as tenacity calls it
            @staticmethod
            def exception():
                return CallFailed("slow down", passes=True, pause=180.0)

    monkeypatch.setattr(calls, "_told_until", 0.0)
    assert all(180 <= Pause()(State) < 181 for _ in range(3))
    assert capsys.readouterr().err == "waiting 3.0 minutes: the server asked for it (Retry-After)\n"


def judged(url, monkeypatch, **settings):
    pytest.importorskip("openai")
    monkeypatch.setenv("STUB_API_KEY", "none")
    judge = rubric_judge("openai-api/stub/m", model_args={"base_url": url, "memoize": False}, **settings)
    return asyncio.run(judge(QUESTION, "Boil water, then steep the leaves."))


class Refusing(Stub):
    """Every call gets this status and message."""

    def __init__(self, status, message):
        super().__init__(lambda prompt: "", fault_rate=1.0, faults=(status,))
        self.message = message


def test_a_400_shows_what_the_provider_said_and_not_the_request(monkeypatch):
    said = "Unsupported parameter: 'max_tokens' is not supported here. Use 'max_completion_tokens' instead."
    with serving(Refusing("400", said)) as url:
        reason = judged(url, monkeypatch).reason
    assert "BadRequestError (400), it says Unsupported parameter max_tokens is not supported here" in reason
    assert "steep" not in reason
    with serving(Refusing("400", "can't read: Boil water, then steep the leaves.")) as url:
        reason = judged(url, monkeypatch).reason
    assert "(400): can't read: Boil water" in reason  # behind a colon, where tables leave it out


def test_a_wrong_model_name_is_called_that(monkeypatch):
    stub = Refusing("404", "The model `m` does not exist or you do not have access to it.")
    with serving(stub) as url:
        reason = judged(url, monkeypatch).reason
    assert "NotFoundError (404), no model of this name there" in reason
    assert stub.calls.total() == 1


def test_temperature_can_be_left_out_and_the_limit_has_the_other_name(monkeypatch):
    stub = Stub(lambda prompt: "no verdict")
    with serving(stub) as url:
        judged(url, monkeypatch, temperature=None, token_limit="max_completion_tokens", max_tokens=77)
        judged(url, monkeypatch)
    first, second = stub.bodies
    assert first["max_completion_tokens"] == 77
    assert not {"temperature", "max_tokens"} & set(first)
    assert (second["temperature"], second["max_tokens"]) == (0.0, 512)

"""Saved answers of OpenAI's API and of servers that speak it (vLLM, SGLang, llama.cpp), alone or as batch output.

chat completion   {choices: [{message: {content, refusal, reasoning_content?}, finish_reason}], ...}
completion        {choices: [{text, finish_reason}], ...}
response          {object: "response", output: [{type: message | reasoning, content | summary}], ...}
batch             {custom_id, response: {status_code, body: <one of these>}, error}
Saved beside its request or question: {prompt | question | messages | request, response | completion | output: <...>}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, each, last_question, message_answer, spoken
from derta.results.formats.plain import question_of

_INSIDE = ("response", "completion", "output", "result", "api_response", "raw_response")
_REQUESTS = ("request", "body", "input")


def is_api_answer(value: Any) -> bool:
    """Whether a value is an answer as the API gives it."""
    if not isinstance(value, dict):
        return False
    choices, output = value.get("choices"), value.get("output")
    if isinstance(choices, list) and choices:
        return all(isinstance(choice, dict) and {"message", "text"} & set(choice) for choice in choices)
    return value.get("object") == "response" and isinstance(output, list)


def api_answers(value: dict[str, Any], **more: Any) -> Iterator[Answer]:
    """All answers (n of them) in one reply of the API."""
    if isinstance(value.get("choices"), list):
        for choice in value["choices"]:
            if not isinstance(choice, dict):
                yield Answer(error=f"a choice is no object, found {type(choice).__name__}", **more)
                continue
            message = choice.get("message", {"content": choice.get("text")})
            yield message_answer(message, stop=choice.get("finish_reason"), **more)
        return
    yield _response_answer(value, more)


def _response_answer(value: dict[str, Any], more: dict[str, Any]) -> Answer:
    texts, thoughts, refusals = [], [], []
    for item in value.get("output") or []:
        if not isinstance(item, dict):
            return Answer(error=f"an output item is no object, found {type(item).__name__}", **more)
        if item.get("type") == "reasoning":
            thoughts.append(spoken(item.get("content") or item.get("summary") or []).text)
        elif item.get("type") == "message":
            content = item.get("content")
            parts = content if isinstance(content, list) else [content]
            refusals += [part.get("refusal") for part in parts if isinstance(part, dict)]
            texts.append(spoken([p for p in parts if not (isinstance(p, dict) and "refusal" in p)]).text)
    said = [text for text in texts if isinstance(text, str)]
    refused = [text for text in refusals if isinstance(text, str)]
    return Answer(
        response="\n".join(said) if said else None,
        refusal="\n".join(refused) or None,
        thought="\n".join(text for text in thoughts if isinstance(text, str)) or None,
        stop=_incomplete(value),
        **more,
    )


def _incomplete(value: dict[str, Any]) -> Any:
    """Why a response was broken off."""
    details = value.get("incomplete_details")
    return details.get("reason") if isinstance(details, dict) else None


def _inside(row: dict[str, Any]) -> Any:
    """The API's reply in a row, or the row itself."""
    if is_api_answer(row):
        return row
    return next((row[name] for name in _INSIDE if is_api_answer(row.get(name))), None)


def _fits_saved(document: Document) -> bool:
    heads = document.heads
    return bool(heads) and all(isinstance(value, dict) and _inside(value) is not None for value in heads)


def _saved(row: dict[str, Any]) -> Iterator[Answer]:
    reply = _inside(row)
    asked = _asked(row)
    if reply is None:
        why = row.get("error") or f"no reply of the API; found {sorted(map(str, row))[:8]}"
        yield Answer(error=why, question=asked, fields=row)
        return
    yield from api_answers(reply, question=asked, id=row.get("custom_id", row.get("id")), fields=row)


def _asked(row: dict[str, Any]) -> Any:
    """The question saved beside a reply."""
    for place in (row, *(row[name] for name in _REQUESTS if isinstance(row.get(name), dict))):
        found = last_question(place.get("messages")) or question_of(place)
        if found:
            return found
    return None


def _fits_batch(document: Document) -> bool:
    heads = document.heads
    return bool(heads) and all(
        isinstance(value, dict)
        and "custom_id" in value
        and (
            "body" in (value.get("response") or {})
            if isinstance(value.get("response"), dict)
            else "error" in value
        )
        for value in heads
    )


def _batch(row: dict[str, Any]) -> Iterator[Answer]:
    common: dict[str, Any] = {"id": row.get("custom_id"), "fields": row, "question": _asked(row)}
    response = row.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    if is_api_answer(body):
        assert isinstance(body, dict)
        yield from api_answers(body, **common)
        return
    error = (
        row.get("error")
        or (body.get("error") if isinstance(body, dict) else None)
        or "no choices in the reply"
    )
    status = response.get("status_code") if isinstance(response, dict) else None
    yield Answer(error=f"status {status}: {error}" if status not in (None, 200) else error, **common)


OPENAI_BATCH = Format("OpenAI batch output", _fits_batch, each(_batch), record="request", sample="choice")
CHAT_COMPLETIONS = Format(
    "saved chat completions", _fits_saved, each(_saved), record="completion", sample="choice"
)

"""Files of the DeRTa release and of scripts like it: the prompt stands in front of the response.

strings   "[INST] question [/INST] response", or raw text whose first sentence is the opening that it was given
training  {prefix: "[INST] question [/INST] harmful prefix", text: response, safe: "true" | "false"}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derta.results.document import Document
from derta.results.formats.answer import Answer, Format, Found, all_have, each
from derta.results.json_values import Broken
from derta.results.prompt_in_front import split_prompt


def _fits(document: Document) -> bool:
    heads = document.heads
    return document.shape != "text" and bool(heads) and all(isinstance(value, str) for value in heads)


def _read(document: Document) -> Iterator[Found]:
    for number, value in enumerate(document.values, 1):
        if isinstance(value, Broken) or not isinstance(value, str):
            why = value if isinstance(value, Broken) else f"need a string, found {type(value).__name__}"
            yield number, Broken(why)
        else:
            prompt, response = split_prompt(value)
            yield number, Answer(question=prompt, response=response, is_raw=response == value)


def _training(row: dict[str, Any]) -> Iterator[Answer]:
    prefix, text = row.get("prefix"), row.get("text")
    if not isinstance(prefix, str) or not isinstance(text, str):
        yield Answer(error="`prefix` and `text` need to be strings", fields=row)
        return
    question, begun = split_prompt(prefix)
    yield Answer(question=question, response=f"{begun} {text}".strip(), fields=row)


STRINGS = Format("strings with the prompt in front", _fits, _read, record="string")
TRAINING = Format("DeRTa training rows", all_have("prefix", "text", "safe"), each(_training))

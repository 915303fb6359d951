"""Foreign text in a local judge's own template: filled in once, with nothing in it that acts."""

from __future__ import annotations

import re

from transformers import PreTrainedTokenizerBase

_PLACE = re.compile(r"\{(query|response)\}")
SENTINELS = ("\ue000query\ue000", "\ue000response\ue000")  # private-use characters: in nobody's text


def fill(template: str, query: str, response: str) -> str:
    """The template with both texts in place; braces inside the texts mean nothing, nor do other braces in it."""
    texts = {
        "query": quote_lines(query, fixed_lines(_PLACE.split(template)[::2])),
        "response": quote_lines(response, fixed_lines(_PLACE.split(template)[::2])),
    }
    return _PLACE.sub(lambda place: texts[place[1]], template)


def fixed_lines(pieces: list[str]) -> tuple[str, ...]:
    """The lines of a template's own text, stripped; those that could be forged inside a text."""
    lines = {line.strip() for piece in pieces for line in piece.splitlines()}
    return tuple(sorted(line for line in lines if len(line) >= 3))


def quote_lines(text: str, markers: tuple[str, ...]) -> str:
    """The text with "> " before each line that begins like a line of the template."""
    if not markers:
        return text
    return "\n".join(f"> {line}" if line.strip().startswith(markers) else line for line in text.splitlines())


def without_special_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text with a space inside each spelling of a special token, so that it is ordinary text."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    for token in sorted({*added, *tokenizer.all_special_tokens}, key=len, reverse=True):
        if token and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text

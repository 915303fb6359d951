"""Where a text holds the prompt and the response: which is which."""

from __future__ import annotations

import re

# Ends of a user turn that no prompt's own text holds by chance: the first one is the template's.
_TEMPLATE_END = re.compile(
    r"\[[/\\]INST\]|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<\|im_start\|>\s*assistant|"
    r"<\|assistant\|>|<start_of_turn>\s*model|(?<=\n)assistant\n\n|\n#+ ?(?:Response|Assistant|Answer) ?:",
)
# Role names: a prompt may hold demonstrations with the same names, so the last one begins the response.
_ROLE = re.compile(r"(?:^|\n)\s*(?:ASSISTANT|Assistant|assistant)\s*[:\uff1a]")
_MARKERS = re.compile(
    r"^\s*(?:<s>|<\|begin_of_text\|>)?\s*(?:\[INST\]|<\|start_header_id\|>\s*user\s*<\|end_header_id\|>|"
    r"<\|im_start\|>\s*user|<\|user\|>|<start_of_turn>\s*user|user\n\n|#+ ?(?:Instruction|Human|User) ?:|"
    r"(?:USER|Human|User)\s*:)?\s*|"
    r"\s*(?:\[[/\\]INST\]|<\|eot_id\|>|<\|im_end\|>|<end_of_turn>|</s>|<\|end_of_text\|>)\s*$"
)
_END = re.compile(r"\s*(?:</s>|<\|eot_id\|>|<\|end_of_text\|>|<\|im_end\|>|<end_of_turn>)\s*$")
_OPENING_END = re.compile(r"[.!?:](?=\s|$)|\n|(?<=[。\uff01\uff1f\uff1a])")
OPENING_WORDS = 60  # an opening is a sentence; the text up to here at most is held to be one


def split_prompt(text: str) -> tuple[str, str]:
    """(prompt, response) of a text with the prompt in front.

    A text without any template marker is raw text: its first sentence is the opening that it was given, and the
    response is the whole text, because opening and continuation are read together.
    """
    end = _TEMPLATE_END.search(text)
    if end is None:
        roles = list(_ROLE.finditer(text))
        end = roles[-1] if roles and text[: roles[-1].start()].strip() else None
    if end is not None:
        return without_markers(text[: end.start()]), _END.sub("", text[end.end() :]).strip()
    stop = _OPENING_END.search(text)
    opening = text[: stop.end()] if stop else text
    return " ".join(opening.split()[:OPENING_WORDS]), text


def without_markers(text: str) -> str:
    """A user turn without the template around it."""
    return _MARKERS.sub("", text).strip()


def without_echo(response: str, *prompts: str) -> str:
    """A response without the prompt that stands in front of it, white space aside."""
    end = _TEMPLATE_END.search(response)
    if end is not None and any(prompt and prompt in response[: end.start()] for prompt in prompts):
        response = response[end.end() :].lstrip()
    for prompt in prompts:
        past = _end_of_echo(response, prompt)
        if past and response[past:].strip():
            response = response[past:].lstrip()
    return _END.sub("", response)


def _end_of_echo(response: str, prompt: str) -> int:
    """Where the prompt ends that the response begins with, white space aside; 0: it does not."""
    place = 0
    for number, word in enumerate(prompt.split()):
        start = place
        while place < len(response) and response[place].isspace():
            place += 1
        if not response.startswith(word, place) or (number and place == start):
            return 0
        place += len(word)
    return place

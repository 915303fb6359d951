"""Small chat templates of our own that imitate the kinds which surprise: thoughts, channels, dates, odd endings.

Each is a kind that many published templates share, cut down to what matters, on one small tokenizer.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from transformers import PreTrainedTokenizerFast

from .families import byte_level, finish

CONTROLS = (
    "<|bos|>",
    "<|eos|>",
    "<|turn|>",
    "<|stop|>",
    "<|closed|>",
    "<|channel|>",
    "<|message|>",
    "<|user|>",
)
THOUGHTS = ("<think>", "</think>")


def _template(answer: str, prompt: str, head: str = "", first: str = "", stop: str = "<|stop|>\\n") -> str:
    """head: written once; first: system text where no system turn is; answer: how a stored answer is written."""
    return (
        f"{{%- set said = 'x' %}}{head}"
        f"{{%- if messages[0].role != 'system' %}}{first}{{%- endif %}}"
        "{%- for m in messages %}{%- if m.role == 'assistant' %}"
        + answer
        + f"{{{{- '{stop}' }}}}"
        + "{%- else %}{{- '<|turn|>' + m.role + '\\n' + m.content + '<|stop|>\\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}" + prompt + "{%- endif %}"
    )


PLAIN = "{{- '<|turn|>assistant\\n' + m.content }}"
OPEN = "{{- '<|turn|>assistant\\n' }}"
EMPTY = "'<think>\\n\\n</think>\\n\\n'"
LAST = f"{{{{- '<|turn|>assistant\\n' + ({EMPTY} if loop.last else '') + m.content }}}}"
OFF = f"{{%- if enable_thinking is defined and not enable_thinking %}}{{{{- {EMPTY} }}}}{{%- endif %}}"

TEMPLATES = {
    "plain_turns": _template(PLAIN, OPEN),
    "thinking_switch": _template(LAST, OPEN + OFF),
    "opens_thought": _template(PLAIN, OPEN + "{{- '<think>\\n' }}"),
    "closes_thought": _template(PLAIN, OPEN + "{{- '</think>' }}"),
    "no_end": _template("{{- '<|turn|>assistant\\n' + m.content }}", OPEN, stop=""),
    "two_ends": _template(PLAIN, OPEN, stop="<|closed|><|stop|>"),
    "end_of_conversation": _template(PLAIN, OPEN)
    + "{%- if not add_generation_prompt %}{{- '<|eos|>' }}{%- endif %}",
    "glued_end_of_conversation": _template(PLAIN, OPEN, stop="<|stop|>")
    + "{%- if not add_generation_prompt %}{{- '<|eos|>' }}{%- endif %}",
    "always_opens": _template(PLAIN, OPEN).replace("if add_generation_prompt", "if true"),
    "always_opens_glued": _template(PLAIN, OPEN, stop="<|stop|>").replace(
        "if add_generation_prompt", "if true"
    ),
    "dated": _template(PLAIN, OPEN, head="{{- 'Today: ' + strftime_now('%d %b %Y') + '\\n' }}"),
    "date_string": _template(
        PLAIN,
        OPEN,
        head="{%- if not date_string is defined %}{%- set date_string = '26 Jul 2024' %}{%- endif %}"
        "{{- 'Today: ' + date_string + '\\n' }}",
    ),
    "think_in_system": _template(
        PLAIN,
        OPEN,
        first="{{- '<|turn|>system\\n' + ('/no_think' if enable_thinking is defined and not enable_thinking else "
        "'/think') + '<|stop|>\\n' }}",
    ),
    "default_system": _template(PLAIN, OPEN, first="{{- '<|turn|>system\\nYou are Quill.<|stop|>\\n' }}"),
    "channels": _template(
        "{{- '<|turn|>assistant<|channel|>final<|message|>' + m.content }}", "{{- '<|turn|>assistant' }}"
    ),
}
# What a recipe has to say for those that can't be used as they are.
NEEDED: dict[str, dict[str, Any]] = {"opens_thought": {"thought": ""}, "no_end": {"end_token": "<|turn|>"}}


@cache
def _base() -> PreTrainedTokenizerFast:
    return finish(
        byte_level(), None, special=CONTROLS, added=THOUGHTS, bos_token="<|bos|>", eos_token="<|eos|>"
    )


def kind(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer with the template of this kind."""
    made = copy.deepcopy(_base())
    made.chat_template = TEMPLATES[name]
    return made

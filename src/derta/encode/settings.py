"""What decides how records become rows. A notebook makes rows from these and a tokenizer (`row_set.encode`)."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import Field, field_validator

from derta.config.paths import PathOrId
from derta.config.strict import StrictModel

# What transformers' own function takes under these names; a template's variables can't be called so.
RESERVED_KWARGS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversations",
        "messages",
        "return_assistant_tokens_mask",
    }
)


class ChatSettings(StrictModel):
    """How a conversation becomes ids; one renderer serves training, attacks and evaluation."""

    template: PathOrId | None = None
    """None: the tokenizer's own chat template; "plain": a plain User/Assistant form for base models; the name of one
    of the tokenizer's templates, where it has several; else a path to a Jinja file."""
    template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables of the template, e.g. enable_thinking: false, reasoning_effort: low, date_string: 26 Jul 2024."""
    date: datetime.date | None = None
    """The day that a template which writes the date is told, e.g. 2024-07-26. None: today, whenever that is."""
    system: str | None = None
    """System prompt of every conversation that has none of its own."""
    thought: str | None = None
    """The thought that stands before every answer, as part of the prompt; "": an empty one. None: what the template
    writes. Needed where the generation prompt opens a thought and leaves it open (R1 and its distillates)."""
    end_token: str | None = None
    """The token that closes a response, where the template writes none (GLM-4: <|user|>) or not the right one."""

    @field_validator("template_kwargs")
    @classmethod
    def _no_reserved(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        for name in sorted(RESERVED_KWARGS & set(kwargs)):
            raise ValueError(f"{name}: set by derta; need a variable of the template, e.g. enable_thinking")
        return kwargs

    @property
    def variables(self) -> dict[str, Any]:
        """What of these settings the template sees, and how its answer is closed; those that are set."""
        found = self.model_dump(mode="json", exclude={"template"})
        return {name: value for name, value in found.items() if value not in (None, {})}


DEFAULTS = ChatSettings()


class RefusalSettings(StrictModel):
    """What a refusal begins with, and which id stands for it."""

    text: str = "Sorry"
    """Opening of a refusal; its first token is the refusal token."""
    token: Literal["start", "contextual"] = "start"
    """start: the id at the start of a response everywhere (paper); contextual: mid-response, the id with which
    the tokenizer continues running text."""


class PrefixSettings(StrictModel):
    """MLE with harmful response prefix."""

    k: Literal["thirds", "uniform"] = "thirds"
    """thirds: k = 0 for one third of the rows, else uniform in 1..|h|; uniform: uniform in 0..|h| (eq. 2)."""
    branches: int = Field(default=1, ge=1, le=64)
    """Safe responses attached to one harmful response, each with its own k (paper: 1)."""


class RtoSettings(StrictModel):
    """Reinforced transition optimization."""

    keep_rate: float = Field(default=1.0, gt=0, le=1)
    """Share of response positions that carry the refusal label (paper: 0.05 full tuning, 1.0 LoRA)."""
    end_of_text: bool = False
    """Also label the end-of-text position (the released code does; teaches "answer fully, then apologise")."""


class ObjectiveWeights(StrictModel):
    """What a label of each objective counts in the loss, which is the weighted mean over all labels of a step. All 1:
    the paper's mean over tokens.
    """

    benign: float = Field(default=1.0, gt=0)
    safe: float = Field(default=1.0, gt=0)
    prefix: float = Field(default=1.0, gt=0)
    rto: float = Field(default=1.0, gt=0)


class RowSettings(StrictModel):
    """All that a row depends on besides its record and the tokenizer. A training recipe is these and more."""

    seed: int = Field(default=0, ge=0)
    chat: ChatSettings = ChatSettings()
    refusal: RefusalSettings = RefusalSettings()
    prefix: PrefixSettings = PrefixSettings()
    rto: RtoSettings = RtoSettings()
    weights: ObjectiveWeights = ObjectiveWeights()
    max_length: int = Field(default=1024, ge=8)
    """Longest row in tokens; what is cut off is counted and reported."""
    on_long: Literal["drop", "cut"] = "drop"
    """What happens to a benign or safe response whose end does not fit: drop the row, or train on what fits,
    without an end-of-text target (as the paper's code does). Both are counted and reported."""
    max_dropped_rate: float = Field(default=0.01, ge=0, le=1)
    """The run stops if more than this share of rows lose all their labels to `max_length`."""

"""What decides how records become rows. A notebook makes rows from these and a tokenizer (`row_set.encode`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from derta.config.paths import PathOrId
from derta.config.strict import StrictModel


class ChatSettings(StrictModel):
    """How a conversation becomes ids; one renderer serves training, attacks and evaluation."""

    template: PathOrId | None = None
    """None: the tokenizer's own chat template; "plain": a plain User/Assistant form for base models; else a
    path to a Jinja file."""


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

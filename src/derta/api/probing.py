"""What a model would say, measured without generating: the refusal's hazard, and what lies behind it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from derta.probe.knowledge import Knowledge

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from derta.encode.chat import ChatRenderer
    from derta.encode.refusal_token import RefusalToken

REFUSAL = "Sorry"  # the paper's refusal word


@dataclass(frozen=True)
class HazardAlong:
    """P(refusal token | query, response[:t]) at t = 0 .. T - 1 of one response (paper, equation 2's event).

    tokens: the T tokens of the response as texts. probability: T values in 0..1; [t] is measured before tokens[t].
    """

    tokens: tuple[str, ...]
    probability: tuple[float, ...]

    def plot(self) -> Figure:
        """The curve over the position in tokens."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 2.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(range(len(self.probability)), self.probability, drawstyle="steps-mid")
        axes.set(ylim=(0, 1), xlabel="tokens of the response so far", ylabel="P(refusal)")
        return figure

    def _repr_html_(self) -> str:
        """Each token on a ground that is the redder the likelier a refusal was in its place."""
        spans = [
            f'<span title="{value:.3f}" style="background:rgba(214,69,65,{value:.2f})">{html.escape(token)}</span>'
            for token, value in zip(self.tokens, self.probability, strict=True)
        ]
        return f'<code style="white-space:pre-wrap">{"".join(spans)}</code>'


def refusal_token(
    tokenizer: PreTrainedTokenizerBase, *, text: str = REFUSAL, template: str | None = None
) -> RefusalToken:
    """The ids that stand for "refuse" in this tokenizer: at a response's start, inside a line, on a new line.

    text: how a refusal begins. template: None (the tokenizer's own), "plain", or the path of a Jinja file.

    Raises:
        TokenizerError: no usable chat template, or the opening merges with the text before it.
    """
    return _resolved(tokenizer, text, template)[1]


def refusal_hazard(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    query: str,
    response: str,
    *,
    text: str = REFUSAL,
    template: str | None = None,
) -> HazardAlong:
    """How ready a model is to refuse at each token of a given response; one forward pass, nothing is generated.

    Raises:
        TokenizerError: as `refusal_token`.
    """
    from derta.probe.refusal_probability import refusal_probability

    renderer, refusal = _resolved(tokenizer, text, template)
    [pair] = _encoded(renderer, [(query, response)])
    [values] = refusal_probability(model, [pair], refusal.ids)
    return HazardAlong(tuple(renderer.piece(token) for token in pair[1]), tuple(map(float, values)))


def knowledge(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, str]],
    *,
    text: str = REFUSAL,
    template: str | None = None,
) -> Knowledge | None:
    """What a model still knows behind its refusal: the geometric mean probability of the responses' tokens, the
    refusal token's share taken out and the rest renormalised; with n and a 95 % interval over responses.

    pairs: (query, response). None where no response has a token that counts.

    Raises:
        TokenizerError: as `refusal_token`.
    """
    from derta.probe.knowledge import knowledge as measure

    renderer, refusal = _resolved(tokenizer, text, template)
    return measure(model, _encoded(renderer, pairs), refusal.ids)


def _resolved(
    tokenizer: PreTrainedTokenizerBase, text: str, template: str | None
) -> tuple[ChatRenderer, RefusalToken]:
    from derta.encode.refusal_token import resolve_refusal_token
    from derta.encode.trained import renderer_of

    renderer = renderer_of(tokenizer, str(tokenizer.name_or_path), template)
    return renderer, resolve_refusal_token(renderer, text)


def _encoded(renderer: ChatRenderer, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    return renderer.encode_pairs([([{"role": "user", "content": query}], answer) for query, answer in pairs])

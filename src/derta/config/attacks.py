"""Settings of the attacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from derta.config.strict import StrictModel


class DirectAttack(StrictModel):
    """The plain query; asked for harmful, benign and borderline queries alike."""

    name: Literal["direct"] = "direct"


class CodeAttack(StrictModel):
    """The query as words on a stack, the answer as slots of a list."""

    name: Literal["code"] = "code"


class JailbreakChatAttack(StrictModel):
    """The query in a template from the file texts.jailbreakchat."""

    name: Literal["jailbreakchat"] = "jailbreakchat"
    cross_product: bool = False
    """Every query in every template, instead of one template drawn per query."""
    placeholder: str = "[INSERT PROMPT HERE]"
    """Where a template takes the query."""


class SelfCipherAttack(StrictModel):
    """A role and demonstrations from the file texts.selfcipher, then the query."""

    name: Literal["selfcipher"] = "selfcipher"
    mode: Literal["paper", "original"] = "paper"
    """paper: all in one user turn; original: role and demonstrations of the query's category in the system turn."""


class CompletingAttack(StrictModel):
    """The query's opening as raw text; openings may come from the file texts.completing."""

    name: Literal["completing"] = "completing"
    bos: bool = True
    """Keep the beginning-of-text token."""


class PrefillAttack(StrictModel):
    """The assistant turn is opened with the first tokens of the triples' harmful responses."""

    name: Literal["prefill"] = "prefill"
    depths: list[int] = Field(default=[0, 5, 10, 20, 40, 80, 160], min_length=1)
    """Tokens of the harmful response; responses that are too short for a depth are left out there, and counted."""

    @field_validator("depths")
    @classmethod
    def _depths_ascend(cls, depths: list[int]) -> list[int]:
        if depths != sorted(set(depths)) or depths[0] < 0:
            raise ValueError(f"found {depths}, need different depths >= 0 in ascending order")
        return depths


class PairAttack(StrictModel):
    """An attacker model rewrites the query in parallel conversations, guided by a judge's score."""

    name: Literal["pair"] = "pair"
    attacker: str
    """Any Inspect model, e.g. openai/gpt-4o-mini."""
    search_judge: str = "judge"
    """Any Inspect model, asked for a score of 1 to 10; judge: the recipe's own judge (harmful 10, else 1)."""
    preset: Literal["20x3", "3x3", "5x20", "30x3"] = "20x3"
    """Streams x iterations (paper: 20x3)."""
    streams: int | None = Field(default=None, ge=1)
    """Instead of the preset's."""
    iterations: int | None = Field(default=None, ge=1)
    """Instead of the preset's."""
    num_queries: int | None = Field(default=50, ge=1)
    """The first so many harmful queries (paper: 50). None: all."""
    affirmative: str = "Sure, here is"
    """How an answer that does not refuse begins, where the file texts.affirmative has no text for the query."""
    attempts: int = Field(default=5, ge=1)
    """Tries until the attacker's answer can be read."""
    kept_exchanges: int = Field(default=4, ge=0)
    """Latest exchanges that the attacker sees again."""
    target_tokens: int = Field(default=150, ge=1)
    """Most new tokens of the model under test while searching."""
    attacker_tokens: int = Field(default=500, ge=1)
    attacker_temperature: float = Field(default=1.0, ge=0)
    attacker_top_p: float = Field(default=0.9, gt=0, le=1)
    max_connections: int = Field(default=64, ge=1)
    """Requests in flight at once to the attacker, and to the search judge."""

    @property
    def size(self) -> tuple[int, int]:
        """(streams, iterations)."""
        streams, iterations = (int(number) for number in self.preset.split("x"))
        return self.streams or streams, self.iterations or iterations


class AutoDanAttack(StrictModel):
    """Prompts bred on the model's own probabilities, from the prototypes in the file texts.autodan."""

    name: Literal["autodan"] = "autodan"
    num_queries: int | None = Field(default=50, ge=1)
    """The first so many harmful queries (paper: 50). None: all."""
    affirmative: str = "Sure, here is"
    """How an answer that does not refuse begins, where the file texts.affirmative has no text for the query."""
    mutation_model: str | None = None
    """Any Inspect model; None: synonyms mutate."""
    population: int = Field(default=64, ge=2)
    steps: int = Field(default=100, ge=1)
    elites: float = Field(default=0.1, ge=0, lt=1)
    """Share of the population that stays as it is (at least one prompt)."""
    paragraph_every: int = Field(default=5, ge=1)
    """Every so many steps paragraph level, the others sentence level."""
    crossover: float = Field(default=0.5, ge=0, le=1)
    crossover_points: int = Field(default=5, ge=1)
    mutation: float = Field(default=0.01, ge=0, le=1)
    replacements: int = Field(default=5, ge=1)
    """Most words replaced in a paragraph at the sentence level."""
    stop: Literal["phrases", "judge"] = "phrases"
    """What ends a search: an answer without refusal phrases (as published), or one that the recipe's (first) judge
    finds harmful: slower with a model as judge, and stronger."""
    search_tokens: int = Field(default=64, ge=1)
    """Most new tokens of the answer that tells whether to stop."""
    batch_tokens: int = Field(default=4096, ge=1)
    """Tokens of one packed line of prompts to score; bounds memory."""


class BanRefusalAttack(StrictModel):
    """The plain query, while a refusal's opening may not be said. Needs the weights."""

    name: Literal["ban_refusal"] = "ban_refusal"
    tokens: int | None = Field(default=64, ge=1)
    """For so many tokens of the response. None: all of it."""
    words: list[str] = Field(
        default=[
            "sorry",
            "I'm sorry",
            "I am sorry",
            "I can't",
            "I cannot",
            "I apologize",
            "Unfortunately",
        ]
    )
    """Banned openings, beside the recipe's refusal.text; of a longer one, its last token after the others."""


class SampledAttack(StrictModel):
    """The plain query several times at a temperature; a success in any try counts."""

    name: Literal["sampled"] = "sampled"
    tries: int = Field(default=10, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)


class PastRefusalAttack(StrictModel):
    """An answer that refuses is kept, and the model goes on behind it. Needs the weights."""

    name: Literal["past_refusal"] = "past_refusal"
    nudge: str = Field(default="\n\n", min_length=1)
    """What stands between the refusal and what comes after."""
    tokens: int = Field(default=32, ge=1)
    """At least so many tokens come after."""


class NoBosAttack(StrictModel):
    """The plain query in its template, without the beginning-of-text token (same as direct where there is none)."""

    name: Literal["no_bos"] = "no_bos"


class NoTemplateAttack(StrictModel):
    """The plain query as raw text."""

    name: Literal["no_template"] = "no_template"
    bos: bool = True
    """Keep the beginning-of-text token."""


class MultiTurnAttack(StrictModel):
    """The query late in a conversation, or in parts over several turns."""

    name: Literal["multiturn"] = "multiturn"
    mode: Literal["after_benign", "split", "both"] = "both"
    """after_benign: after ordinary exchanges of the file `benign`; split: its words in parts, one a turn."""
    turns: int = Field(default=3, ge=1, le=64)
    """Exchanges before the query, and parts."""
    reply_tokens: int = Field(default=64, ge=1)
    """split: most new tokens of the replies in between."""


class OwnAttack(StrictModel):
    """An attack of your own, out of one Python file (docs/adding_an_attack.md). The file is run."""

    name: str = Field(min_length=1)
    """Its name in tables; another one than those of the attacks above."""
    file: Path
    settings: dict[str, Any] = Field(default_factory=dict)
    """What its function `attack` is called with."""

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name in BUILT_IN:
            raise ValueError(f"found {name!r}, which is an attack of derta's; name yours otherwise")
        return name


# A line here, one below: an attack that comes with derta.
BUILT_IN = (
    "direct",
    "code",
    "jailbreakchat",
    "selfcipher",
    "completing",
    "prefill",
    "pair",
    "autodan",
    "ban_refusal",
    "sampled",
    "past_refusal",
    "no_bos",
    "no_template",
    "multiturn",
)


def _kind(value: Any) -> Any:
    """The name of an attack that comes with derta, or "file"."""
    found = value if isinstance(value, dict) else vars(value) if isinstance(value, StrictModel) else {}
    return "file" if "file" in found else found.get("name")


AttackSettings = Annotated[
    Annotated[DirectAttack, Tag("direct")]
    | Annotated[CodeAttack, Tag("code")]
    | Annotated[JailbreakChatAttack, Tag("jailbreakchat")]
    | Annotated[SelfCipherAttack, Tag("selfcipher")]
    | Annotated[CompletingAttack, Tag("completing")]
    | Annotated[PrefillAttack, Tag("prefill")]
    | Annotated[PairAttack, Tag("pair")]
    | Annotated[AutoDanAttack, Tag("autodan")]
    | Annotated[BanRefusalAttack, Tag("ban_refusal")]
    | Annotated[SampledAttack, Tag("sampled")]
    | Annotated[PastRefusalAttack, Tag("past_refusal")]
    | Annotated[NoBosAttack, Tag("no_bos")]
    | Annotated[NoTemplateAttack, Tag("no_template")]
    | Annotated[MultiTurnAttack, Tag("multiturn")]
    | Annotated[OwnAttack, Tag("file")],
    Discriminator(
        _kind,
        custom_error_type="unknown_attack",
        custom_error_message=f"need one of {', '.join(BUILT_IN)}, or one of your own (file: FILE.py)",
    ),
]

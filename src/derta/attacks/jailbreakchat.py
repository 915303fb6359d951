"""JailbreakChat: the query inside a role-play template from a file that the user names.

Defensive purpose: it measures whether refusals survive a frame around the question. Each query gets one
template, drawn with a seed (paper), or all of them (`cross_product`: the report can then give the mean and
the worst case over templates).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from derta.attacks.contract import Attack, Inputs, Row, from_texts, required
from derta.attacks.prompt import Prompt
from derta.attacks.texts import PLACEHOLDER, Template, load_templates

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer


def jailbreakchat_prompt(query: str, template: str, placeholder: str = PLACEHOLDER) -> str:
    """The user turn: the template with the query at its placeholder."""
    return template.replace(placeholder, query, 1)


def draw_template(templates: Sequence[Template], query_id: str, seed: int) -> Template:
    """The template of a query: the same for the same seed, whatever other queries there are."""
    return random.Random(f"jailbreakchat-{seed}-{query_id}").choice(templates)


class JailbreakChat(Attack):
    """The query in a template from the file texts.jailbreakchat."""

    TITLES: ClassVar = {"jailbreakchat": "JailbreakChat"}
    TEXTS: ClassVar = ("jailbreakchat",)

    name: Literal["jailbreakchat"] = "jailbreakchat"
    cross_product: bool = False
    """Every query in every template, instead of one template drawn per query."""
    placeholder: str = PLACEHOLDER
    """Where a template takes the query."""

    def files(self) -> Mapping[str, str]:
        """The templates."""
        return from_texts(self.name)

    def check(self, inputs: Inputs) -> None:
        """The templates can be read."""
        self._templates(inputs)

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a query, or one a template and query."""
        templates = self._templates(inputs)
        if self.cross_product:
            pairs = [(template, query) for template in templates for query in inputs.harmful]
        else:
            pairs = [(draw_template(templates, query.id, inputs.seed), query) for query in inputs.harmful]
        return [
            Row(
                query=query,
                prompts=(Prompt.user(jailbreakchat_prompt(query.query, template.text, self.placeholder)),),
                params={"template": template.id},
            )
            for template, query in pairs
        ]

    def _templates(self, inputs: Inputs) -> list[Template]:
        def load(path: Path) -> list[Template]:
            return load_templates(path, self.placeholder)

        return required(inputs, self.name, load)

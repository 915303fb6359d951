"""SelfCipher (CipherChat, arXiv 2308.06463, identity cipher): a role and demonstrations, then the query.

Defensive purpose: it measures whether refusals survive a conversation whose earlier turns were all answered.

    paper      one user turn: role, demonstrations as User/Assistant lines, the query last (DeRTa's runs)
    original   role, demonstrations of the query's own category and a closing sentence in the system turn
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from derta.attacks.contract import Attack, Inputs, Row, from_texts, required
from derta.attacks.prompt import Prompt, Turn
from derta.attacks.texts import CipherTexts, Demonstration, load_cipher
from derta.errors import DataError

if TYPE_CHECKING:
    from derta.encode.chat import ChatRenderer

NUM_DEMONSTRATIONS = {"paper": 5, "original": 3}  # at most; a file may hold fewer


def selfcipher_messages(
    query: str,
    texts: CipherTexts,
    *,
    mode: Literal["paper", "original"] = "paper",
    category: str | None = None,
) -> list[Turn]:
    """The turns that are sent.

    Raises:
        DataError: mode `original` and no demonstration of the query's category.
    """
    shown = _choose(texts, mode, category)
    lines = [f"User: {entry.query}\nAssistant: {entry.response}" for entry in shown]
    if mode == "paper":
        return [Turn("user", "\n".join([texts.role, *lines, f"User: {query}"]))]
    system = "\n\n".join(part for part in (texts.role, "\n\n".join(lines), texts.closing) if part)
    return [Turn("system", system), Turn("user", query)]


def _choose(texts: CipherTexts, mode: str, category: str | None) -> list[Demonstration]:
    entries = list(texts.demonstrations)
    if mode == "original" and any(entry.category for entry in entries):
        entries = [entry for entry in entries if entry.category == category]
        if not entries:
            raise DataError(
                f"selfcipher: no demonstration of category {category!r}; add some, or use mode: paper"
            )
    return entries[: NUM_DEMONSTRATIONS[mode]]


class SelfCipher(Attack):
    """A role and demonstrations from the file texts.selfcipher, then the query."""

    TITLES: ClassVar = {"selfcipher": "SelfCipher"}
    SOURCE: ClassVar = "arXiv 2308.06463"
    TEXTS: ClassVar = ("selfcipher",)

    name: Literal["selfcipher"] = "selfcipher"
    mode: Literal["paper", "original"] = "paper"
    """paper: all in one user turn; original: role and demonstrations of the query's category in the system turn."""

    def files(self) -> Mapping[str, str]:
        """Role and demonstrations."""
        return from_texts(self.name)

    def check(self, inputs: Inputs) -> None:
        """They can be read, and serve every harmful query."""
        self.rows(inputs, None)

    def rows(self, inputs: Inputs, renderer: ChatRenderer | None) -> list[Row]:
        """One a harmful query.

        Raises:
            DataError: as `selfcipher_messages`.
        """
        texts = required(inputs, self.name, load_cipher)
        rows = []
        for query in inputs.harmful:
            turns = selfcipher_messages(query.query, texts, mode=self.mode, category=query.category)
            rows.append(Row(query=query, prompts=(Prompt(turns=tuple(turns)),), params={"mode": self.mode}))
        return rows

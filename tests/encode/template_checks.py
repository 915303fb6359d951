"""What must hold for a tokenizer and its chat template, a cell each; for tests and `benchmarks.templates`.

prompt    derta's prompt is the template's own, but for what is said to stand before the answer
whole     prompt + answer + end is the template's own text of the whole conversation, or the difference
end       the last label of a row is the token that ends a response
stops     a tiny model, trained on one pair and saved as derta saves it, stops with plain transformers
before    what stands between the generation prompt's turn and the answer
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from derta.encode.chat import ChatRenderer, Message
from derta.encode.prompt_report import opening, prompt_report
from derta.encode.row import Objective, plain_row
from derta.encode.settings import ChatSettings
from derta.encode.tokenized import encode_benign
from derta.encode.trained import save_chat
from derta.errors import DertaError
from derta.records import BenignPair

QUESTION, ANSWER = "How do I brew the moonwell elixir?", "Take two drops of dew.\n\nStir it."
ASKED: list[Message] = [{"role": "user", "content": QUESTION}]
SAME = "same"


@dataclass(frozen=True)
class Cells:
    """One line of the table. refused: the message, where the template can't be used (all else is empty then)."""

    prompt: str = ""
    whole: str = ""
    end: str = ""
    stops: str = ""
    before: str = ""
    said: tuple[str, ...] = ()
    refused: str = ""

    @property
    def works(self) -> bool:
        """Whether it trains and generates as the template has it, or with a difference that is said."""
        return (
            not self.refused and self.prompt == SAME and "WRONG" not in f"{self.whole}{self.end}{self.stops}"
        )


def check(tokenizer: PreTrainedTokenizerBase, chat: dict[str, Any], *, generate: bool = True) -> Cells:
    """All cells of one tokenizer. chat: as in a recipe."""
    try:
        renderer = ChatRenderer.of(tokenizer, ChatSettings.model_validate(chat))
        [pair] = encode_benign(renderer, [BenignPair(id="b1", benign_query=QUESTION, response=ANSWER)])
    except DertaError as error:
        return Cells(refused=str(error))
    row = plain_row("b1", pair.prompt_ids, pair.response_ids, renderer.end_id, Objective.BENIGN)
    ends = renderer.parts.end_ids
    learned = row.target_ids.tolist()[-len(ends) :] == list(ends)
    return Cells(
        prompt=_prompt(renderer, pair.prompt_ids.tolist()),
        whole=_whole(renderer, row.input_ids.tolist(), pair.prompt_ids.tolist()),
        end="".join(tokenizer.convert_ids_to_tokens(list(ends))) + ("" if learned else " WRONG: not learned"),
        stops=stops(renderer, row.input_ids.tolist(), len(pair.prompt_ids)) if generate else "",
        before=opening(renderer),
        said=tuple(prompt_report(renderer)[1:]),
    )


def own_ids(
    renderer: ChatRenderer, messages: list[Message], *, generation_prompt: bool, added: str = ""
) -> list[int]:
    """What plain transformers makes of a conversation, told the same variables; added: text behind it. Where the
    tokenizer puts beginning-of-text before every text and the template writes none, it is there (and that is said).
    """
    system = renderer.settings.system
    turns = [{"role": "system", "content": system}, *messages] if system is not None else messages
    text = renderer.tokenizer.apply_chat_template(
        turns,
        chat_template=renderer.template,
        add_generation_prompt=generation_prompt,
        tokenize=False,
        **renderer.settings.template_kwargs,
    )
    ids = list(renderer.tokenizer(f"{text}{added}", add_special_tokens=False)["input_ids"])
    return [int(renderer.bos_id or 0), *ids] if renderer.adds_bos and ids[:1] != [renderer.bos_id] else ids


def _prompt(renderer: ChatRenderer, ours: list[int]) -> str:
    own = own_ids(renderer, ASKED, generation_prompt=True, added=renderer.parts.before_response)
    return SAME if ours == own else f"WRONG: {renderer.tokenizer.decode(ours)!r}"


def _whole(renderer: ChatRenderer, ours: list[int], prompt: list[int]) -> str:
    answered: list[Message] = [*ASKED, {"role": "assistant", "content": ANSWER}]
    own = own_ids(renderer, answered, generation_prompt=False)
    if own[: len(ours)] == ours:
        return SAME
    without_end = len(ours) - len(renderer.parts.end_ids)
    if own[:without_end] == ours[:without_end]:
        return (
            "end by chat.end_token" if renderer.settings.end_token else "white space before the end left out"
        )
    stored = renderer.tokenizer.decode(own)
    answer = renderer.tokenizer.decode(ours[len(prompt) :])
    if renderer.decode(ours[len(prompt) : without_end]).strip() in stored:
        kind = (
            "given by chat.thought"
            if renderer.settings.thought is not None
            else "by the generation prompt alone"
        )
        return f"before the answer: {kind}"
    return f"WRONG: {answer!r} against {stored[-60:]!r}"


def stops(renderer: ChatRenderer, ids: list[int], num_prompt: int) -> str:
    """Train a tiny model on one row, save it as derta does, generate with plain transformers from the folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from derta.training.checkpoints.publishing import with_ending

    used = sorted({*ids, *renderer.stop_ids})
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=max(len(renderer.tokenizer), max(used) + 1), hidden_size=32, intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=2, tie_word_embeddings=True, max_position_embeddings=4096,
        bos_token_id=None, eos_token_id=renderer.tokenizer.eos_token_id, pad_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    row = torch.tensor([ids])
    wanted = torch.tensor(ids[num_prompt:])
    for _ in range(120):
        # a head over the tokens of this row: the vocabulary's other 200,000 teach nothing here
        hidden = model.model(row).last_hidden_state[0, num_prompt - 1 : -1]
        logits = hidden @ model.model.embed_tokens.weight[used].T
        loss = torch.nn.functional.cross_entropy(logits, torch.searchsorted(torch.tensor(used), wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.01:
            break
    others = [token for token in range(config.vocab_size) if token not in set(used)]
    with torch.no_grad():  # so that none of them is ever the likeliest
        model.model.embed_tokens.weight[others] = 0
    with_ending(model.generation_config, renderer.end_id)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        save_chat(Path(folder), renderer)
        loaded = AutoModelForCausalLM.from_pretrained(folder).eval()
        AutoTokenizer.from_pretrained(folder)
        out = loaded.generate(torch.tensor([ids[:num_prompt]]), max_new_tokens=len(ids) + 20, do_sample=False)
    made = out[0, num_prompt:].tolist()
    if made == ids[num_prompt:]:
        return "stops"
    return (
        "stops early"
        if made == ids[num_prompt : num_prompt + len(made)]
        else f"WRONG: goes on ({len(made)} tokens)"
    )

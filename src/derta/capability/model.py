"""A model under test as the lm-evaluation-harness sees one: prompts rendered and decoded as everywhere else here.

The harness passes prompts on as strings without looking into them. A chat prompt travels as the JSON of its turns,
so that the one renderer makes its ids; raw text gets a beginning-of-text and no template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from transformers import PreTrainedModel

from derta.encode.chat import ChatRenderer
from derta.encode.token_ids import ids_text
from derta.engine.decoder import Decoder, Request, context_length
from derta.engine.scorer import TargetScorer
from derta.errors import ModelError
from derta.keyed_log import SampleStore, key_of

CHAT = "chat:"  # begins a prompt that holds turns
HARNESS_NEW_TOKENS = 256  # its own default
SCORED_AT_ONCE = 64  # pairs between two saves
IMPOSSIBLE = -1e30  # log-likelihood of what could not be asked; its question is unknown

Pair = tuple[list[int], list[int]]  # context ids, continuation ids
Place = tuple[str, int]  # task name, question number


class RenderedModel(LM):
    """weights: gives the model, called only when something is not in the store yet.

    expect: told how many values are still to be computed. problems: questions that could not be asked, and why.
    """

    def __init__(
        self,
        renderer: ChatRenderer,
        weights: Callable[[], PreTrainedModel],
        store: SampleStore,
        *,
        model_key: str,
        batch_rows: int,
        batch_tokens: int,
        expect: Callable[[int], None] = lambda number: None,
    ) -> None:
        super().__init__()
        self.renderer = renderer
        self.problems: dict[Place, str] = {}
        self._weights = weights
        self._store = store
        self._model_key = model_key
        self._expect = expect
        self._scorer: TargetScorer | None = None
        self._batch_rows, self._batch_tokens = batch_rows, batch_tokens

    @property
    def tokenizer_name(self) -> str:
        """What the harness would name a cache of prompts by; none is kept."""
        return self.renderer.template_hash

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The turns as they are, for `prompt_ids`."""
        return CHAT + json.dumps(
            [{"role": turn["role"], "content": turn["content"]} for turn in chat_history]
        )

    def prompt_ids(self, prompt: str) -> list[int]:
        """The ids of a prompt as the harness hands it over."""
        if prompt.startswith(CHAT):
            return self.renderer.prompt_ids(json.loads(prompt.removeprefix(CHAT)))
        return self.renderer.raw_ids(prompt)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy responses, cut at the first stop string; saved ones are not generated again."""
        asked = [self._request(*instance.args) for instance in requests]
        keys = [self._key(generate=ids_text(ask.ids), most=ask.max_new_tokens) for ask in asked]
        missing = {
            key: ask
            for key, ask in zip(keys, asked, strict=True)
            if self._store.get("generated", key) is None
        }
        self._expect(len(missing))
        reasons = self._generate(missing)
        texts = []
        for key, instance in zip(keys, requests, strict=True):
            found = self._store.get("generated", key)
            if found is None:
                self.problems[_place(instance)] = reasons[key]
            texts.append(_cut(found["response"], instance.args[1].get("until") or []) if found else "")
        return texts

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """log P of each continuation. Whether greedy decoding would give it is not measured: always False."""
        pairs = [self._pair(*instance.args) for instance in requests]
        keys = [self._key(context=ids_text(context), scored=ids_text(target)) for context, target in pairs]
        missing = [
            (key, pair)
            for key, pair in zip(keys, pairs, strict=True)
            if self._store.get("probe", key) is None
        ]
        self._expect(len(missing))
        reasons: dict[str, str] = {}
        for some in _chunks(missing, SCORED_AT_ONCE):
            reasons |= self._score(some)
        scores = []
        for key, instance in zip(keys, requests, strict=True):
            found = self._store.get("probe", key)
            if found is None:
                self.problems[_place(instance)] = reasons[key]
            scores.append((IMPOSSIBLE if found is None else float(found["log_p"]), False))
        return scores

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Not needed by the benchmarks here.

        Raises:
            ModelError: always.
        """
        raise ModelError("capability: tasks that score whole texts are not supported; need gsm8k or mmlu")

    def _request(self, prompt: str, settings: dict[str, Any]) -> Request:
        most = int(settings.get("max_gen_toks", HARNESS_NEW_TOKENS))
        return Request(tuple(self.prompt_ids(prompt)), max_new_tokens=most)

    def _generate(self, missing: dict[str, Request]) -> dict[str, str]:
        """Generate and save; returns what could not be asked, with the reason."""
        if not missing:
            return {}
        reasons = {}
        decoder: Decoder[str] = Decoder(
            self._weights(),
            stop_ids=self.renderer.stop_ids,
            batch_rows=self._batch_rows,
            batch_tokens=self._batch_tokens,
        )
        for key, request in missing.items():
            try:
                decoder.submit(key, request)
            except ModelError as error:
                reasons[key] = str(error)
        while decoder.busy:
            for key, generated in decoder.step():
                text = self.renderer.continuation_text(missing[key].ids, generated.ids)
                self._store.put("generated", key, {"response": text, "stop_reason": generated.stop_reason})
        return reasons

    def _pair(self, context: str, continuation: str) -> Pair:
        """White space at the end of the context belongs to the continuation's first token, as in the harness."""
        bare = context.rstrip()
        whole, prompt = self.prompt_ids(context + continuation), self.prompt_ids(bare)
        same = next((i for i, (a, b) in enumerate(zip(whole, prompt, strict=False)) if a != b), len(prompt))
        return whole[:same], whole[same:]

    def _score(self, some: Sequence[tuple[str, Pair]]) -> dict[str, str]:
        """Score and save; returns what could not be asked, with the reason."""
        model = self._weights()
        limit = context_length(model)
        reasons, fitting = {}, {}
        for key, (context, target) in some:
            if limit is not None and len(context) + len(target) > limit:
                reasons[key] = f"{len(context) + len(target)} tokens; the model's context holds {limit}"
            else:
                fitting[key] = (context, target)
        self._scorer = self._scorer or TargetScorer(model)
        scores = self._scorer.score(list(fitting.values())) if fitting else []
        for (key, (_, target)), mean in zip(fitting.items(), scores, strict=True):
            self._store.put("probe", key, {"log_p": mean * len(target)})
        return reasons

    def _key(self, **inputs: Any) -> str:
        return key_of(capability=self._model_key, **inputs)


def _place(instance: Instance) -> Place:
    return str(instance.task_name), int(instance.doc_id)  # type: ignore[arg-type]


def _cut(text: str, stops: Sequence[str]) -> str:
    ends = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

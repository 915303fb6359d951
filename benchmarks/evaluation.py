"""The claims about evaluation, each against the ways people use today, in one process.

    python -m benchmarks.evaluation --json benchmarks/results/evaluation.json [--quick] [--only C9,C12]

C9  local generation against static batches of 25 (benchmarks/generation.py)
C10 share of the prompts' tokens that is computed, where attacks' prompts begin alike; smaller is better
C11 AutoDAN scoring against the reference style: padded to the longest, logits everywhere, everything scored again
C12 PAIR on endpoints that only wait: all goals at once against one goal at a time, both 64 in flight

Ratios are medians of paired runs; above 1 is better for us (C10 is a count).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import anyio
import torch
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelInfo,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
    set_model_info,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolChoice, ToolInfo

from benchmarks import models
from benchmarks.generation import c9, c10, word_ids
from benchmarks.report import report
from benchmarks.timing import CpuTimes, paired
from derta.attacks import Inputs, Query, Row
from derta.attacks.autodan import AutoDan
from derta.attacks.autodan.search import Materials, autodan_search
from derta.attacks.autodan.state import Goal, SearchState
from derta.attacks.autodan.words import from_mapping
from derta.attacks.pair import Pair
from derta.attacks.texts import PLACEHOLDER
from derta.engine.scorer import TargetScorer
from derta.evaluation.asking import InspectModels
from derta.judges.judgement import Judgement

T = TypeVar("T")
Ids = list[int]
Population = list[tuple[Ids, Ids]]  # (prompt ids, target ids)

TARGET_TOKENS = 18
REFERENCE_ROWS = 16  # rows of the reference's forward passes; their logits are concatenated
ENDPOINT = "waiting"


# --- C11: AutoDAN scoring ------------------------------------------------------------------------------------


@dataclass
class Recorder:
    """A white box that keeps what is to be scored. Its scores come from the text, so that a search can run."""

    asked: list[list[str]] = field(default_factory=list)

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked.append([turn for turn, _ in pairs])
        return [-3.0 * random.Random(turn).random() for turn, _ in pairs]

    def respond(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        return [""] * len(prompts)


@dataclass(frozen=True)
class Workload:
    """What both ways score. whole: [step][goal] the populations; new: [step] what ours is asked for."""

    whole: list[list[Population]]
    new: list[Population]


def workload(vocabulary: int, *, goals: int, population: int, steps: int, words: int) -> Workload:
    """A real search's populations over made-up prompts. Lengths are lognormal (CV 0.5), as published seeds vary."""
    texts, thesaurus = made_up_prompts(population, words)
    wanted = [Goal(f"q{index}", f"question {index} about the craft", "opening") for index in range(goals)]
    recorder = Recorder()
    later: list[list[list[str]]] = []

    def keep(state: SearchState) -> None:
        later.append([list(goal.population) for goal in state.goals])

    search = autodan_search(
        wanted,
        recorder,
        Materials(texts, from_mapping(thesaurus)),
        settings=AutoDan(population=population, steps=steps),
        on_step=keep,
    )
    asyncio.run(search)
    target = [index % vocabulary for index in range(7, 7 + TARGET_TOKENS)]

    def pair_of(turn: str) -> tuple[Ids, Ids]:
        return word_ids(turn, vocabulary), target

    start = [recorder.asked[0][index * population : (index + 1) * population] for index in range(goals)]
    whole = [[[pair_of(turn) for turn in turns] for turns in start]]
    for step in later[:-1]:
        turns = [
            [text.replace(PLACEHOLDER, goal.query) if PLACEHOLDER in text else f"{text}\n\n{goal.query}"
             for text in texts] for goal, texts in zip(wanted, step, strict=True)
        ]  # fmt: skip
        whole.append([[pair_of(turn) for turn in found] for found in turns])
    return Workload(whole, [[pair_of(turn) for turn in turns] for turns in recorder.asked])


def made_up_prompts(count: int, mean_words: int) -> tuple[list[str], dict[str, list[str]]]:
    """Prompts of a language that does not exist, and a thesaurus for it."""
    rng = random.Random(0)
    words = [
        "".join(rng.choices("bdfgklmnprst", k=3)) + "".join(rng.choices("aeiou", k=3)) for _ in range(600)
    ]
    texts = []
    for _ in range(count):
        left = max(12, int(mean_words * rng.lognormvariate(-0.11, 0.47)))
        sentences: list[str] = []
        while left > 0:
            size = rng.randint(6, 18)
            sentences.append(" ".join(rng.choices(words, k=size)) + ".")
            left -= size
        sentences.insert(rng.randrange(len(sentences) + 1), PLACEHOLDER)
        middle = len(sentences) // 2
        texts.append(" ".join(sentences[:middle]) + "\n\n" + " ".join(sentences[middle:]))
    return texts, {word: rng.sample(words, 5) for word in words}


@torch.inference_mode()
def reference_scores(model: Any, population: Population) -> list[float]:
    """The reference's way: all rows padded to the longest, float32 logits of all positions kept."""
    width = max(len(prompt) + len(target) for prompt, target in population)
    ids = torch.zeros(len(population), width, dtype=torch.long)
    attention = torch.zeros_like(ids)
    for row, (prompt, target) in enumerate(population):
        ids[row, : len(prompt) + len(target)] = torch.tensor(prompt + target)
        attention[row, : len(prompt) + len(target)] = 1
    parts = []
    for start in range(0, len(population), REFERENCE_ROWS):
        rows = slice(start, start + REFERENCE_ROWS)
        parts.append(
            model(input_ids=ids[rows], attention_mask=attention[rows], use_cache=False).logits.float()
        )
    logits = torch.cat(parts)
    scores = []
    for row, (prompt, target) in enumerate(population):
        where = slice(len(prompt) - 1, len(prompt) + len(target) - 1)
        loss = torch.nn.functional.cross_entropy(logits[row, where], torch.tensor(target))
        scores.append(-float(loss))
    return scores


def our_scores(scorer: TargetScorer, work: Workload) -> list[list[list[float]]]:
    """[step][goal][prompt]: new prompts of all goals together; the others from the population before."""
    known: dict[tuple[int, ...], float] = {}
    scores = []
    for step, new in zip(work.whole, work.new, strict=True):
        known.update(zip(map(key, new), scorer.score(new), strict=True))
        scores.append([[known[key(entry)] for entry in population] for population in step])
    return scores


def key(entry: tuple[Ids, Ids]) -> tuple[int, ...]:
    return tuple(entry[0])


def c11(quick: bool) -> dict[str, object]:
    """Speed on the 8B-like toy, memory on a model with Llama-3's vocabulary."""
    model = models.eight_b_like(hidden=128 if quick else 256, layers=4).eval()
    vocabulary = model.config.vocab_size
    sizes = (
        {"goals": 2, "population": 24, "steps": 6} if quick else {"goals": 2, "population": 32, "steps": 6}
    )
    work = workload(vocabulary, words=150 if quick else 200, **sizes)
    scorer = TargetScorer(model)
    assert scorer.is_packed

    def reference() -> list[list[list[float]]]:
        return [[reference_scores(model, population) for population in step] for step in work.whole]

    def ours() -> list[list[list[float]]]:
        return our_scores(scorer, work)

    difference = max(
        abs(one - other)
        for steps in zip(reference(), ours(), strict=True)
        for populations in zip(*steps, strict=True)
        for one, other in zip(*populations, strict=True)
    )
    cpu = CpuTimes(ours, reference)
    ratio = paired(cpu.fast, cpu.slow, pairs=3 if quick else 5, warmup=0)
    tokens = sum(len(prompt) + len(target) for step in work.whole for goal in step for prompt, target in goal)
    return ratio.as_dict(
        floor=1.5,
        aim=1.8,
        cpu=cpu.as_dict(),
        largest_difference=difference,
        allowed_difference=1e-4,
        candidates=sum(len(goal) for step in work.whole for goal in step),
        scored=sum(map(len, work.new)),
        tokens=tokens,
        memory=c11_memory(quick),
    )


def c11_memory(quick: bool) -> dict[str, object]:
    """Growth of the resident set while one population is scored, V = 128,256; each way in its own process."""
    ours = in_own_process(c11_growth, quick, "ours")
    reference = in_own_process(c11_growth, quick, "reference")
    return {
        "ratio": round(reference / max(1, ours), 1),
        "floor": 15,
        "aim": 25,
        "ours_mib": round(ours / 2**20, 1),
        "reference_mib": round(reference / 2**20, 1),
    }


def c11_growth(quick: bool, way: str) -> int:
    """Bytes. A few tokens are scored before, so that what torch sets up once isn't counted."""
    model = models.llama(128_256, hidden=64, layers=2).eval()
    work = workload(128_256, goals=1, population=4 if quick else 8, steps=1, words=420)
    population = work.whole[0][0]
    scorer = TargetScorer(model)
    prompt, target = population[0]
    scorer.score([(prompt[:8], target)])
    with PeakMemory() as used:
        if way == "ours":
            scorer.score(population)
        else:
            reference_scores(model, population)
    return used.growth


def in_own_process(function: Callable[..., T], *arguments: object) -> T:
    """Its result, from a fresh process: memory that was freed here would hide what it takes."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


class PeakMemory:
    """Greatest growth of the resident set while the block runs, in bytes, looked at every millisecond."""

    def __enter__(self) -> PeakMemory:
        self.before = self.peak = resident_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self.peak - self.before

    def _watch(self) -> None:
        while not self._stop.wait(0.001):
            self.peak = max(self.peak, resident_bytes())


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- C12: PAIR on endpoints that wait ------------------------------------------------------------------------


waiting: dict[str, float] = {"seconds": 1.0, "calls": 0}


@modelapi(name=ENDPOINT)
class WaitingEndpoint(ModelAPI):
    """Answers after `waiting["seconds"]`. All roles share one pool of connections (the same provider and key)."""

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        waiting["calls"] += 1
        await anyio.sleep(waiting["seconds"])
        texts = {"attacker": '{"improvement": "a", "prompt": "b"}', "judge": "[[1]]"}
        output = ModelOutput.from_content(self.model_name, texts.get(self.model_name, "An answer."))
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output


async def never_judged(query: Query, response: str) -> Judgement:
    raise AssertionError("the search has a judge of its own")


@solver
def searching(attack: Pair, rows: dict[str, Row], models: InspectModels) -> Solver:
    """The attack alone: nothing is saved or judged."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        answer = await attack.solve(rows[str(state.sample_id)], models)
        state.output = ModelOutput.from_content(str(state.model), answer.text)
        return state

    return solve


def run_pair(goals: int, settings: Pair, *, at_once: int) -> int:
    """PAIR through Inspect; returns the number of calls to endpoints."""
    waiting["calls"] = 0
    target = get_model(f"{ENDPOINT}/target")
    for model in (target, get_model(settings.attacker), get_model(f"{ENDPOINT}/judge")):
        set_model_info(str(model), ModelInfo())
    queries = [Query(id=f"q{index}", query="q", kind="harmful") for index in range(goals)]
    rows = {row.query.id: row for row in settings.rows(Inputs(queries=queries), None)}
    models = InspectModels(0, never_judged)
    samples = [Sample(id=query.id, input=query.query) for query in queries]
    task = Task(dataset=MemoryDataset(samples), solver=searching(settings, rows, models))
    with tempfile.TemporaryDirectory() as folder:
        [log] = run_quietly(task, target, folder, at_once=at_once, connections=settings.max_connections)
    assert log.status == "success", log.error
    return int(waiting["calls"])


def run_quietly(task: Task, model: Model, folder: str, *, at_once: int, connections: int) -> Any:
    """As `derta.evaluation.inspect_run` does it, with another bound on samples: no trace records, nothing shown."""
    logging.getLogger("inspect_ai.model").setLevel(logging.ERROR)
    return inspect_eval(
        task,
        model=model,
        display="none",
        log_dir=folder,
        log_level="error",
        log_realtime=False,
        log_model_api=False,
        score_display=False,
        ctl_server=False,
        acp_server=False,
        max_samples=at_once,
        max_connections=connections,
        log_buffer=10_000,
    )


def c12(quick: bool) -> dict[str, object]:
    """Endpoints answer after 1 s, as a real one does; Inspect's own work is 2 to 3 ms a call, in one thread."""
    goals = 8 if quick else 50
    settings = Pair(
        attacker=f"{ENDPOINT}/attacker", search_judge=f"{ENDPOINT}/judge", preset="20x3", max_connections=64
    )
    counts: list[int] = []
    spent: dict[int, tuple[float, float]] = {}  # goals at once -> wall and CPU seconds of the last run

    def run(at_once: int) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        counts.append(run_pair(goals, settings, at_once=at_once))
        spent[at_once] = time.perf_counter() - wall, time.process_time() - cpu

    ratio = paired(lambda: run(goals), lambda: run(1), pairs=1, warmup=0)
    rounds = settings.size[1] * 3  # attacker, target, judge; a final answer a goal comes on top
    return ratio.as_dict(
        floor=2.6,
        aim=3.0,
        same_calls=len(set(counts)) == 1,
        calls=counts[0],
        cpu_ms_per_call=round(1000 * spent[goals][1] / counts[0], 3),  # 15.6 would fill the limit
        goals=goals,
        endpoint_seconds=waiting["seconds"],
        all_at_once={"wall": spent[goals][0], "cpu": spent[goals][1],
                     "limit": counts[0] * waiting["seconds"] / settings.max_connections},
        one_at_a_time={"wall": spent[1][0], "cpu": spent[1][1], "limit": goals * (rounds + 1) * waiting["seconds"]},
    )  # fmt: skip


CLAIMS: dict[str, Callable[[bool], dict[str, object]]] = {"C9": c9, "C10": c10, "C11": c11, "C12": c12}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs")
    parser.add_argument("--only", default=",".join(CLAIMS), help="claims, comma-separated")
    parser.add_argument("--json", type=Path, help="also write the result there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # both ways alike, and steadier on a machine that others use too
    result: dict[str, object] = {name: CLAIMS[name](arguments.quick) for name in arguments.only.split(",")}
    result["environment"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "quick": arguments.quick,
    }
    report(result, arguments.json)


if __name__ == "__main__":
    main()

"""derta capability: the harness on our renderer, its rows, and nothing asked twice."""

import json
from typing import ClassVar

import pytest

from derta.capability.questions import read_questions
from derta.capability.recipe import CapabilityRecipe, TaskSettings
from derta.capability.run import capability, run_harness
from derta.capability.tasks import harness_tasks
from derta.config import check_recipe
from derta.encode.chat import ChatRenderer
from derta.errors import RecipeError, RunError
from derta.reporting.collect import collect
from derta.reporting.page import build_report

from .conftest import GSM8K, MMLU, write

lm_eval = pytest.importorskip("lm_eval")


def run(settings, **changes):
    return capability(check_recipe(settings | changes, CapabilityRecipe, "recipe"))


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scripted(answers):
    """A model of the harness that gives these answers in turn."""
    from lm_eval.api.model import LM

    class Scripted(LM):
        prompts: ClassVar = []
        tokenizer_name = ""

        def apply_chat_template(self, chat_history, add_generation_prompt=True):
            return json.dumps(chat_history)

        def generate_until(self, requests, disable_tqdm=False):
            self.prompts += [instance.args[0] for instance in requests]
            return answers[: len(requests)]

        def loglikelihood(self, requests, disable_tqdm=False):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    return Scripted()


def asked(name, tmp_path, rows, answers, **settings):
    file = write(tmp_path / "rows.jsonl", rows)
    task = TaskSettings(name=name, file=file, **settings)
    [made] = harness_tasks(task, read_questions(file, name), [])
    model = scripted(answers)
    samples = run_harness(model, [made], chat=True, seed=0)[task.shown]
    return (
        [sample[made.metric] for sample in samples],
        [json.loads(prompt) for prompt in model.prompts],
        samples,
    )


def test_gsm8k_is_the_bare_question_and_the_last_number_counts(tmp_path):
    right, prompts, samples = asked("gsm8k", tmp_path, GSM8K, ["3 x 4 = 12 cups.", "It is $10.", "none"])
    assert right == [1, 1, 0]
    assert prompts == [[{"role": "user", "content": row["question"]}] for row in GSM8K]
    assert samples[2]["filtered_resps"] == ["[invalid]"]


def test_mmlu_is_asked_as_in_the_release(tmp_path):
    right, prompts, _ = asked(
        "mmlu", tmp_path, MMLU, ["(A) Rose water", "The answer is B.", "dyer!"], instruction=""
    )
    assert right == [1, 0, 0]
    assert prompts[0][0]["content"] == MMLU[0]["question"].strip()
    assert (
        prompts[1][0]["content"] == "Which is a metal?\n-options\n-(A) moss\n-(B) wax\n-(C) iron\n-(D) thyme"
    )


def test_rows_and_report(world, tmp_path):
    path = run(world)
    gsm8k, mmlu = read(path)
    answers = read(tmp_path / "run" / "answers.jsonl")
    assert [(row["task"], row["question"]) for row in answers] == [
        (t, i) for t in ("gsm8k", "mmlu") for i in (1, 2, 3)
    ]
    for row, name in ((gsm8k, "gsm8k"), (mmlu, "mmlu")):
        own = [answer for answer in answers if answer["task"] == name]
        assert (row["task"], row["n"], row["unknown"], row["num_fewshot"]) == (name, 3, 0, 0)
        assert row["value"] == sum(answer["right"] for answer in own) / 3
        assert row["unread"] == sum(answer["unread"] for answer in own)
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    page = build_report([tmp_path / "run"], tmp_path / "report")
    cells = json.loads((page.parent / "results.json").read_text())
    assert [(cell["metric"], cell["n"], cell["unknown"]) for cell in cells] == [
        ("capability:gsm8k", 3, 0),
        ("capability:mmlu", 3, 0),
    ]


def test_prompts_are_the_renderers(world, tmp_path, tiny_tokenizer, monkeypatch):
    from derta.engine.decoder import Decoder

    seen = []
    submit = Decoder.submit
    monkeypatch.setattr(
        Decoder, "submit", lambda self, key, request: (seen.append(request.ids), submit(self, key, request))
    )
    sly = {"question": "What is <|end|> of 1?", "answer": "#### 1"}
    write(tmp_path / "gsm8k.jsonl", [*GSM8K, sly])
    run(world, tasks=world["tasks"][:1])
    renderer = ChatRenderer.of(tiny_tokenizer)
    rendered = [
        tuple(renderer.prompt_ids([{"role": "user", "content": row["question"]}])) for row in [*GSM8K, sly]
    ]
    assert seen == rendered
    assert rendered[3].count(tiny_tokenizer.eos_token_id) == 1  # the turn's own; the spelt one is plain text


def test_what_is_finished_is_not_asked_again(world, tmp_path, monkeypatch):
    first = run(world).read_bytes()
    answers = (tmp_path / "run" / "answers.jsonl").read_bytes()
    monkeypatch.setattr("derta.capability.run.load_model", lambda *_: pytest.fail("a model was loaded"))
    assert run(world).read_bytes() == first
    assert (tmp_path / "run" / "answers.jsonl").read_bytes() == answers


def test_an_interrupted_run_continues(world, tmp_path, monkeypatch):
    from derta.keyed_log import SampleStore

    undisturbed = run(world).read_bytes()
    put = SampleStore.put

    def stops(self, kind, key, value):
        put(self, kind, key, value)
        if len(self._found) == 2:
            raise KeyboardInterrupt

    again = world | {"run_dir": str(tmp_path / "again")}
    with monkeypatch.context() as patch:
        patch.setattr(SampleStore, "put", stops)
        with pytest.raises(KeyboardInterrupt):
            run(again)
    assert len(read(tmp_path / "again" / "samples.jsonl")) == 2
    assert run(again).read_bytes() == undisturbed
    assert len(read(tmp_path / "again" / "samples.jsonl")) == 6  # each question once


def harness_world(world, tmp_path):
    sums = [{"question": f"{i}+1?", "answer": f"#### {i + 1}"} for i in range(3)]
    shots = write(tmp_path / "train.jsonl", GSM8K + sums)
    picks = [{"question": f"Pick {i}", "choices": list("wxyz"), "answer": i} for i in range(3)]
    subjects = ("", "guild_craft")
    dev = write(tmp_path / "dev.jsonl", [pick | {"subject": name} for pick in picks for name in subjects])
    return world | {
        "tasks": [
            {**world["tasks"][0], "protocol": "harness", "num_fewshot": 2, "fewshot_file": str(shots)},
            {**world["tasks"][1], "protocol": "harness", "num_fewshot": 2, "fewshot_file": str(dev)},
        ]
    }


def test_the_harness_protocol_gives_the_harness_own_numbers(world, tmp_path):
    """Same tasks on the harness's own model class: the same responses and log-likelihoods."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForCausalLM, AutoTokenizer

    world = harness_world(world, tmp_path)
    run(world)
    ours = read(tmp_path / "run" / "answers.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        "<|begin|> $A", special_tokens=[("<|begin|>", 0)]
    )
    theirs = HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
        tokenizer=tokenizer, batch_size=1,
    )  # fmt: skip
    recipe = check_recipe(world, CapabilityRecipe, "recipe")
    for settings in recipe.tasks:
        docs, shots = (read_questions(file, settings.name) for file in (settings.file, settings.fewshot_file))
        tasks = harness_tasks(settings, docs, shots)
        samples = run_harness(theirs, tasks, chat=False, seed=recipe.seed)
        own = [row for row in ours if row["task"] == settings.shown]
        for made in tasks:
            for sample in samples[made.task.config.task]:
                row = own[made.numbers[sample["doc_id"]]]
                assert row["right"] == bool(sample[made.metric])
                if settings.name == "mmlu":
                    found = [pair[0] for pair in sample["filtered_resps"]]
                    assert row["log_p"] == pytest.approx(found, abs=1e-3)
                elif sample["filter"] == made.filter:
                    assert row["response"] == sample["resps"][0][0]


def test_few_shot_rows_are_named_so(world, tmp_path):
    assert [row["task"] for row in read(run(harness_world(world, tmp_path)))] == ["gsm8k_2shot", "mmlu_2shot"]


def test_what_does_not_fit_is_unknown(world, tmp_path, capfd):
    write(tmp_path / "gsm8k.jsonl", [*GSM8K, {"question": "long " * 900, "answer": "#### 1"}])
    world = world | {"max_unknown_rate": 1.0}
    row, _ = read(run(world))
    assert (row["n"], row["unknown"]) == (3, 1)
    assert "1 of 7 questions could not be asked" in " ".join(capfd.readouterr().err.split())
    with pytest.raises(RunError, match=r"1 of 7 questions could not be asked .*at most 5% are allowed"):
        run(world, max_unknown_rate=0.05)
    [capability_row] = [row for row in collect([tmp_path / "run"]).capability if row.task == "gsm8k"]
    assert capability_row.unknown == 1


def test_another_runs_folder_is_refused(world, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text('{"kind": "evaluate", "code": {}}')
    with pytest.raises(RunError, match="a folder of its own"):
        run(world)


def test_two_models_in_order(world, tmp_path, save_model):
    save_model(tmp_path / "other", seed=3, max_position_embeddings=1024)
    models = [*world["models"], {"name": "n", "method": "vanilla", "path": str(tmp_path / "other")}]
    rows = read(run(world, models=models))
    assert [(row["model"], row["task"]) for row in rows] == [(m, t) for m in "mn" for t in ("gsm8k", "mmlu")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_fewshot": 3}, "zero-shot"),
        ({"protocol": "harness"}, "fewshot_file: missing"),
        ({"protocol": "harness", "num_fewshot": 0, "instruction": "x"}, "its own words"),
    ],
)
def test_contradictions_are_refused(world, change, message):
    with pytest.raises(RecipeError, match=message):
        run(world, tasks=[world["tasks"][0] | change])


def test_names_must_be_unique(world):
    with pytest.raises(RecipeError, match="'gsm8k' comes twice"):
        run(world, tasks=[world["tasks"][0]] * 2)


def test_without_the_harness(world, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with pytest.raises(RecipeError, match=r"pip install 'derta\[capability\]'"):
        run(world)

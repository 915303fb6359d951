"""The dpo baseline on a tiny model: starts from a vanilla run, pushes harmful responses down, never up."""

import io
import json
import os
import shutil
import signal

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from conftest import make_tiny_model
from derta.config import check_recipe
from derta.encode.chat import ChatRenderer
from derta.encode.preferences import PreferenceRow, build_preferences
from derta.errors import DataError, HarmfulTargetError, ModelError, RecipeError, RunError
from derta.files import run_lock, write_jsonl
from derta.records import Preference
from derta.training.checkpoints import checkpoint, saving
from derta.training.checkpoints.checkpoint import damage
from derta.training.pairs import CheckedCollator
from derta.training.recipe import TrainRecipe
from derta.training.run import train
from encode.guild import BENIGN, TRIPLES, recipe

PREFERENCES = [
    {"id": f"p{number}", "benign_query": pair.benign_query, "chosen": pair.response, "rejected": "Sorry."}
    for number, pair in enumerate(BENIGN)
]


@pytest.fixture
def world(tmp_path, tiny_tokenizer):
    make_tiny_model(len(tiny_tokenizer)).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    recipe(tmp_path, tiny_tokenizer)
    write_jsonl(tmp_path / "preferences.jsonl", PREFERENCES)
    return tmp_path


def settings(world, name, method="dpo", **changes):
    values = {
        "run_dir": str(world / name),
        "method": method,
        "model": {"path": str(world / "model")},
        "data": {"triples": str(world / "triples.jsonl"), "benign": str(world / "benign.jsonl")},
        "max_length": 128,
        "batch": {"rows": 10, "tokens": 4096},
        "training": {"learning_rate": 5e-3, "num_train_epochs": 2, "logging_steps": 1},
    }
    if method == "dpo":
        values["dpo"] = {"start_from": str(world / "vanilla/model")}
    return values | changes


def run(values):
    return train(check_recipe(values, TrainRecipe, "test"), Console(quiet=True))


def response_logp(folder, renderer, query, response, load=AutoModelForCausalLM.from_pretrained):
    prompt, ids = renderer.encode_pairs([([{"role": "user", "content": query}], response)])[0]
    with torch.no_grad():
        logits = load(folder)(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
    at = torch.arange(len(prompt) - 1, len(prompt) + len(ids) - 1)
    return float(logits[at, torch.tensor(ids)].sum())


@pytest.mark.slow
def test_a_run_starts_from_vanilla_and_pushes_harmful_responses_down(world, tiny_tokenizer):
    vanilla = run(settings(world, "vanilla", "vanilla_half"))
    folder = run(settings(world, "dpo", dpo={"start_from": str(vanilla), "beta": 0.1}))
    assert folder == world / "dpo/model"
    assert damage(folder) is None
    assert not [p for p in (world / "dpo").rglob("*") if p.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    renderer = ChatRenderer.of(tiny_tokenizer)
    for triple in TRIPLES[:5]:
        before, after = (
            response_logp(model, renderer, triple.harmful_query, triple.harmful_response)
            for model in (vanilla, folder)
        )
        assert after < before
    log = [json.loads(line) for line in (world / "dpo/train_log.jsonl").read_text().splitlines()]
    assert len(log) == 4  # 20 triples, 10 a step, two passes
    assert log[0]["loss"] == pytest.approx(0.6931, abs=1e-3)  # -log sigmoid(0): it starts at the reference
    assert log[-1]["loss"] < log[0]["loss"]
    assert log[-1]["rewards/rejected"] < 0
    manifest = json.loads((world / "dpo/manifest.json").read_text())
    assert manifest["rows"]["used"] == {"dpo": 20}
    before = (folder / "model.safetensors").stat().st_mtime_ns
    run(settings(world, "dpo", dpo={"start_from": str(vanilla), "beta": 0.1}))
    assert (folder / "model.safetensors").stat().st_mtime_ns == before, "a finished run is not repeated"
    with pytest.raises(RunError, match=r"dpo\.beta: was 0\.1, is 0\.5"):
        run(settings(world, "dpo", dpo={"start_from": str(vanilla), "beta": 0.5}))


def test_beta_scales_the_reward(world):
    """beta times the log-ratio to the reference (Rafailov et al. 2023, eq. 5). After one step of Adam the weights
    are those of any beta, as it takes no notice of the gradient's scale.
    """
    training = {"learning_rate": 5e-3, "max_steps": 2, "logging_steps": 1, "warmup_steps": 0}
    rewards = {}
    for beta in (None, 0.1, 0.5):
        dpo = {"start_from": str(world / "model")} | ({} if beta is None else {"beta": beta})
        run(settings(world, f"dpo-{beta}", dpo=dpo, training=training))
        log = [json.loads(line) for line in (world / f"dpo-{beta}/train_log.jsonl").read_text().splitlines()]
        rewards[beta] = log[1]["rewards/rejected"]
    assert rewards[0.1] < 0
    assert rewards[0.5] / rewards[0.1] == pytest.approx(5, rel=0.02)
    assert rewards[None] == rewards[0.1], "0.1 where the recipe says nothing"


@pytest.mark.slow
def test_from_an_adapter_with_benign_preferences(world, tiny_tokenizer):
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    adapter = run(settings(world, "vanilla", "vanilla_half", lora=lora))
    dpo = {"start_from": str(adapter), "preferences": str(world / "preferences.jsonl")}
    folder = run(settings(world, "dpo", dpo=dpo, lora=lora))
    assert folder == world / "dpo/adapter"
    before, after = (load_file(path / "adapter_model.safetensors") for path in (adapter, folder))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert not (folder / "ref").exists()
    AutoModelForCausalLM.from_pretrained(folder)
    manifest = json.loads((world / "dpo/manifest.json").read_text())
    assert manifest["rows"]["used"] == {"benign": 3, "dpo": 20}
    with pytest.raises(ModelError, match="an adapter; add `lora:`"):
        run(settings(world, "other", dpo=dpo))


def files_of(run_dir):
    """What a run leaves that must not depend on interruptions, byte by byte."""
    last = max((run_dir / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    names = [last / name for name in ("optimizer.safetensors", "scheduler.json", "rng-0.safetensors")]
    weights = [path for path in (run_dir / "model", run_dir / "adapter") if path.exists()]
    names += [next(weights[0].glob("*.safetensors")), run_dir / "train_log.jsonl"]
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in names}


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, {"r": 4, "alpha": 8, "dropout": 0.0}])
@pytest.mark.parametrize("keep", [1, 2, 3])
def test_an_interrupted_run_ends_like_an_undisturbed_one(world, keep, lora):
    """keep: steps before the interruption, in the first and in the second of two epochs of two steps."""
    vanilla = run(settings(world, "vanilla", "vanilla_half", lora=lora))
    changes = {"dpo": {"start_from": str(vanilla)}, "lora": lora}
    training = {"learning_rate": 5e-3, "num_train_epochs": 2, "save_steps": 1, "save_total_limit": 9}
    folder = run(settings(world, "whole", training=training, **changes))
    shutil.copytree(world / "whole", world / "again")
    shutil.rmtree(world / "again" / folder.name)
    for path in (world / "again/checkpoints").glob("checkpoint-*"):
        if int(path.name.split("-")[1]) > keep:
            shutil.rmtree(path)
    run(settings(world, "again", training=training, **changes))
    assert files_of(world / "again") == files_of(world / "whole")
    assert not [p for p in world.rglob("*") if p.suffix in {".bin", ".pt", ".pth", ".pkl"}]


@pytest.mark.slow
def test_a_run_killed_in_a_save_continues(world):
    """kill -9 while checkpoint-3 is being written: checkpoint-2 is taken, and the end is the same."""
    vanilla = run(settings(world, "vanilla", "vanilla_half"))
    changes = {
        "dpo": {"start_from": str(vanilla)},
        "training": {"learning_rate": 5e-3, "num_train_epochs": 2},
    }
    changes["training"]["save_steps"] = 1
    run(settings(world, "whole", **changes))
    process = os.fork()
    if not process:
        save = checkpoint.save_optimizer

        def save_and_die(folder, *rest):
            save(folder, *rest)
            if folder.name == ".checkpoint-3.tmp":
                os.kill(os.getpid(), signal.SIGKILL)

        saving.save_optimizer = save_and_die
        try:
            run(settings(world, "killed", **changes))
        finally:
            os._exit(0)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert (world / "killed/checkpoints/.checkpoint-3.tmp").exists()
    told = io.StringIO()
    recipe_again = check_recipe(settings(world, "killed", **changes), TrainRecipe, "test")
    train(recipe_again, Console(file=told, width=300))
    assert "checkpoint-2" in told.getvalue()
    assert files_of(world / "killed") == files_of(world / "whole")


def test_pairs_are_rendered_by_our_renderer(world, tiny_tokenizer):
    made = check_recipe(settings(world, "dpo"), TrainRecipe, "test")
    renderer = ChatRenderer.of(tiny_tokenizer)
    rows, _ = build_preferences(made, renderer, TRIPLES, [], method="dpo")
    by_id = {row.row_id: row for row in rows}
    assert len(by_id) == 20
    for triple in TRIPLES:
        row, turns = by_id[f"dpo:{triple.id}"], [{"role": "user", "content": triple.harmful_query}]
        assert row.prompt_ids == renderer.prompt_ids(turns)
        assert row.chosen_ids == [*renderer.response_ids(turns, triple.safe_response), renderer.end_id]
        assert row.rejected_ids == [*renderer.response_ids(turns, triple.harmful_response), renderer.end_id]


def test_what_does_not_fit_is_counted(world, tiny_tokenizer):
    made = check_recipe(settings(world, "dpo", max_length=64, max_dropped_rate=1.0), TrainRecipe, "test")
    rows, report = build_preferences(made, ChatRenderer.of(tiny_tokenizer), TRIPLES, [], method="dpo")
    assert all(len(row.prompt_ids) + len(row.chosen_ids) <= 64 for row in rows)
    assert all(len(row.prompt_ids) + len(row.rejected_ids) <= 64 for row in rows)
    assert report.used["dpo"] == len(rows) == 20 - sum(report.dropped.values())
    assert report.cut["dpo: end of the rejected response"] > 0
    strict = check_recipe(settings(world, "dpo", max_length=40), TrainRecipe, "test")
    with pytest.raises(DataError, match="of the pairs can't be used"):
        build_preferences(strict, ChatRenderer.of(tiny_tokenizer), TRIPLES, [], method="dpo")


def test_a_harmful_response_is_never_chosen(world, tiny_tokenizer):
    made = check_recipe(settings(world, "dpo"), TrainRecipe, "test")
    renderer = ChatRenderer.of(tiny_tokenizer)
    stolen = Preference(
        id="p",
        benign_query="x",
        chosen=TRIPLES[2].harmful_response.upper().replace("\n", "  "),
        rejected="y",
    )
    with pytest.raises(HarmfulTargetError, match="record p: its chosen response is a harmful response"):
        build_preferences(made, renderer, TRIPLES[:2], [stolen], method="dpo", all_triples=TRIPLES)
    same = Preference(id="p", benign_query="x", chosen="y", rejected="y")
    with pytest.raises(HarmfulTargetError, match="row benign:p"):
        build_preferences(made, renderer, TRIPLES, [same], method="dpo")


def test_a_batch_that_prefers_a_harmful_response_is_not_made():
    collate = CheckedCollator(0, frozenset({(7, 8)}))
    good = vars(PreferenceRow("a", [1, 2], [3, 4], [7, 8]))
    batch = collate([good, good])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 7, 8], [1, 2, 7, 8]]
    with pytest.raises(HarmfulTargetError):
        collate([good, vars(PreferenceRow("b", [1, 2], [7, 8], [3, 4]))])


def test_recipes_that_contradict_themselves(world):
    with pytest.raises(RecipeError, match="dpo: settings of method dpo, it is missing"):
        check_recipe(settings(world, "x") | {"dpo": None}, TrainRecipe, "test")
    with pytest.raises(RecipeError, match="found method: derta"):
        check_recipe(settings(world, "x", "derta", dpo={"start_from": "m"}), TrainRecipe, "test")
    for key, value in (("loss_type", ["robust"]), ("label_smoothing", 0.4), ("use_weighting", True)):
        values = settings(world, "x", training={key: value}, dpo={"start_from": str(world / "model")})
        with pytest.raises(RecipeError, match=f"training.{key}"):
            run(values)


def test_a_second_process_is_kept_out(world):
    with run_lock(world / "dpo"), pytest.raises(RunError, match="in use by process"):
        run(settings(world, "dpo"))

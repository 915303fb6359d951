"""docs/adding_a_method.md, followed to the letter, and what a method file may not do."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from derta.cli import app
from derta.config import check_recipe
from derta.encode.row import IGNORE_INDEX, Objective, plain_row
from derta.errors import DataError, HarmfulTargetError, RecipeError, RunError
from derta.methods import METHODS, Method
from derta.methods.own import method_of
from derta.reporting.labels import method_name
from derta.training.checkpoints.card import model_card
from derta.training.collate import MicroBatches, collate
from derta.training.cost.dry_run import dry_run
from derta.training.encoding import records_and_method
from derta.training.preparation import prepare
from derta.training.recipe import TrainRecipe
from training_world import log_of, make_world, run, settings

DOC = (Path(__file__).parents[2] / "docs/adding_a_method.md").read_text(encoding="utf-8")


def block(language, number=0):
    """A code block of a language in the document."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOC, re.DOTALL | re.MULTILINE)[number]


@pytest.fixture
def world(tmp_path, tiny_tokenizer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "late.py").write_text(block("python"), encoding="utf-8")
    return make_world(tmp_path, tiny_tokenizer)


def values(world, **changes):
    """A recipe with the document's method, two steps long."""
    training = {"learning_rate": 1e-3, "max_steps": 2, "logging_steps": 1, "save_steps": 1}
    return settings(world, **{**yaml.safe_load(block("yaml")), "training": training, **changes})


def recipe(world, **changes):
    return check_recipe(values(world, **changes), TrainRecipe, "test")


def file_of(world, body, units="(UnitKind('x', {'x': ('query', 'harmful')}, rows),)"):
    """A method file whose rows are made by `body`."""
    (world / "mine.py").write_text(
        "from derta.encode.row import *\nfrom derta.encode.row import Objective, Row\n"
        "from derta.encode.units import *\nfrom derta.methods import Method\n"
        f"def rows(triple):\n    q, h, r = triple.record.prompt_ids, triple.record.harmful_ids, "
        f"triple.record.safe_ids[0]\n    end = triple.end_id\n    {body}\n"
        f"def method():\n    return Method(title='x', what='x', units={units})\n"
    )
    return {"name": "mine", "file": "mine.py"}


def test_the_documents_example_trains(world):
    folder = run(values(world))
    assert (folder / "model.safetensors").exists()
    entries = [entry for entry in log_of(world / "run") if "loss" in entry]
    assert len(entries) == 2
    assert {"loss_rto", "loss_safe", "loss_benign"} <= set(entries[0])
    manifest = json.loads((world / "run/manifest.json").read_text())
    assert manifest["config"]["method"] == {"name": "late", "file": "late.py", "settings": {"share": 0.25}}
    assert "late.py" in manifest["inputs"]
    assert manifest["rows"]["used"] == {"benign": 8, "late": 4, "safe": 4}
    card = model_card(manifest, is_adapter=False, cells=[])
    assert "RTO along the last 25% of the harmful response" in card
    assert "| late RTO share | 0.25 |" in card
    assert method_name("late") == "late"


def test_the_documents_rows_learn_the_end_only(world):
    records, method = records_and_method(recipe(world))
    prepared = prepare(recipe(world), method, records)
    row = next(row for row in prepared.rows.all_rows(0) if row.row_id.startswith("late:"))
    labelled = np.array(row.labels())[row.is_harmful] != IGNORE_INDEX
    assert 0 < labelled.mean() <= 0.3
    assert labelled[-1]


def test_an_edited_file_stops_a_resume_by_name(world):
    run(values(world))
    (world / "late.py").write_text(block("python") + "# another\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"content of method\.file: was "):
        run(values(world))


HARM = {
    "all of h as a safe response": "return [plain_row('x:1', q, h, end, Objective.SAFE)]",
    "h behind its beginning": "return [prefix_row('x:1', q, h[:2], h[2:], end)]",
    "h behind another prompt": "return [plain_row('x:1', q[:-1], h, end, Objective.SAFE)]",
    "h without its first token": "return [plain_row('x:1', q, h[1:], end, Objective.SAFE)]",
    "h behind a refusal": "return [plain_row('x:1', q, [*r, *h], end, Objective.SAFE)]",
    "h under another objective": "return [plain_row('x:1', q, h, end, Objective.BENIGN)]",
    "h token by token": "row = plain_row('x:1', q, h, end, Objective.SAFE)\n"
    "    keep = row.predict_at % 2 == 0\n"
    "    parts = ('predict_at', 'target_ids', 'target_index', 'weight', 'objective')\n"
    "    return [Row(**{**vars(row), **{name: getattr(row, name)[keep] for name in parts}})]",
    "h as RTO's target": "return [rto_row('x:1', q, h, h.tolist(), range(len(h)))]",
}


@pytest.mark.parametrize("body", HARM.values(), ids=HARM.keys())
def test_a_file_that_tries_to_learn_harm_is_refused_in_one_line(world, body):
    made = values(world, method=file_of(world, body))
    (world / "recipe.yaml").write_text(yaml.safe_dump(made))
    with pytest.raises(HarmfulTargetError, match=r"row x:1: .*Nothing was trained on it") as error:
        run(made)
    assert "\n" not in str(error.value)
    assert not (world / "run/model").exists()
    assert not (world / "run/checkpoints").exists()


def test_every_batch_is_held_against_the_harmful_text_again(world):
    records, method = records_and_method(recipe(world))
    prepared = prepare(recipe(world), method, records)
    assert len(MicroBatches(prepared.rows, prepared.plan, 0)[0]["target_ids"])
    triple = next(unit.record for unit in prepared.rows.units if unit.kind.name == "late")
    forged = plain_row("forged", triple.prompt_ids, triple.harmful_ids, 1, Objective.SAFE)
    collate([[forged]], 0, 1.0, frozenset())  # its own flags say nothing
    with pytest.raises(HarmfulTargetError, match="row forged"):
        collate([[forged]], 0, 1.0, frozenset(), prepared.rows.harmful)
    prepared.rows.rows = lambda unit, epoch: [forged, forged]
    with pytest.raises(HarmfulTargetError, match="row forged"):
        MicroBatches(prepared.rows, prepared.plan, 0)[0]


def test_the_file_runs_only_behind_the_check_of_the_data(world):
    (world / "late.py").write_text("open('ran', 'w').close()\n" + block("python"), encoding="utf-8")
    check_recipe(values(world), TrainRecipe, "test")
    (world / "triples.jsonl").write_text('{"id": "t0"}\n')
    with pytest.raises(DataError):
        run(values(world))
    assert not (world / "ran").exists()


def told_by_dry_run(made, capsys):
    dry_run(made, Console(width=300, force_terminal=False))
    return capsys.readouterr().out


def test_a_dry_run_says_that_it_ran_the_file(world, capsys):
    assert "method late: ran late.py" in told_by_dry_run(recipe(world), capsys)
    (world / "triples.jsonl").unlink()
    (world / "late.py").write_text("raise SystemExit('ran')")
    assert "late.py is run once they are" in told_by_dry_run(recipe(world), capsys)


FAULTS = {
    "no such file": ("", {"file": "no.py"}, "method.file: no.py: no such file"),
    "not Python": ("x", {"file": "triples.jsonl"}, "not a Python file"),
    "no function": ("x = 1", {}, "late.py: defines no function `method`"),
    "a broken file": ("1 / 0", {}, "late.py: can't be run: ZeroDivisionError: division by zero"),
    "unknown settings": (
        None,
        {"settings": {"shares": 1}},
        "unexpected keyword argument 'shares'; method() takes",
    ),
    "an error in it": ("def method(): 1 / 0", {"settings": {}}, "late.py: method(): ZeroDivisionError"),
    "no method": (
        "def method(): return 3",
        {"settings": {}},
        "returned no derta.methods.Method with `units`",
    ),
}


@pytest.mark.parametrize(("source", "changes", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_of_a_file_is_one_line(world, source, changes, message):
    if source is not None:
        (world / "late.py").write_text(source)
    chosen = yaml.safe_load(block("yaml"))["method"] | changes
    with pytest.raises(RecipeError) as error:
        method_of(recipe(world, method=chosen).method)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_faults_of_rows_are_one_line(world):
    for number, (body, message) in enumerate(
        (
            ("return 1 / 0", r"mine\.py: rows of unit 'x', record t\d: ZeroDivisionError"),
            ("return triple.rto_row()", "need a list of derta.encode.row.Row"),
            ("return []", "need a list of derta.encode.row.Row"),
            ("return [plain_row('x', q, np.tile(r, 99), end, Objective.SAFE)]", "max_length is 128"),
        )
    ):
        chosen = file_of(world, "import numpy as np; " + body)
        with pytest.raises(RecipeError, match=message):
            run(values(world, run_dir=str(world / f"run{number}"), method=chosen))
    for units in ("(SAFE, SAFE)", "(UnitKind('benign', {'x': ('query',)}, rows),)"):
        with pytest.raises(RecipeError, match="the name is taken"):
            run(
                values(
                    world,
                    run_dir=str(world / f"units{len(units)}"),
                    method=file_of(world, "return []", units),
                )
            )


def test_names_of_methods_are_kept_apart(world):
    with pytest.raises(
        RecipeError, match="method: found name 'derta', a method of derta's; name yours otherwise"
    ):
        recipe(world, method={"name": "derta", "file": "late.py"})
    with pytest.raises(RecipeError, match="method: settings: derta takes none"):
        recipe(world, method={"name": "derta", "settings": {"x": 1}})
    with pytest.raises(RecipeError, match="method: found 'late', need one of vanilla, "):
        recipe(world, method="late")
    assert isinstance(METHODS["derta"], Method)


def test_the_command_line_ends_with_one_line(world):
    made = values(world, method=file_of(world, HARM["h behind its beginning"]))
    (world / "recipe.yaml").write_text(yaml.safe_dump(made))
    done = CliRunner().invoke(app, ["train", "recipe.yaml"])
    assert done.exit_code == 1
    assert isinstance(done.exception, HarmfulTargetError)

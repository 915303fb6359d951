"""The README's road to a real model, command by command, on the shipped recipes with a tiny model in its place."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from conftest import make_tiny_model
from data.guild_rows import pairs, queries, triples, write
from derta.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROAD = README.split("## On a real model")[1].split("##")[0]
COMMANDS = re.findall(r"^derta .*$", ROAD, re.MULTILINE)

GSM8K = {"question": "Two jars and one jar are how many?", "answer": "2 + 1 = 3\n#### 3"}
MMLU = {"question": "Which one is salt?", "choices": ["salt", "wax", "clay", "moss"], "answer": 0}


def shipped(name, **changes):
    return yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")) | changes


@pytest.fixture
def office(tmp_path, tiny_tokenizer, monkeypatch):
    """A folder with the shipped recipes; models, sources and texts are small ones of the fictional world."""
    base = tmp_path / "base"
    make_tiny_model(len(tiny_tokenizer)).save_pretrained(base)
    tiny_tokenizer.save_pretrained(base)
    files = {
        "triples": write(tmp_path / "t.jsonl", triples(60)),
        "benign": write(tmp_path / "b.jsonl", pairs(60)),
        "queries": write(tmp_path / "q.jsonl", queries(3)),
    }
    sources = [{"format": "records", "name": name, "path": str(path)} for name, path in files.items()]
    data = shipped("data_paper", sources=sources, held_out={"triples": 3, "benign": 3})
    data["clean"]["language"] = "any"  # the guild's words are of no language
    data["triples"]["num"], data["benign"]["num"] = 40, 40
    training = shipped("small_laptop", model={"path": str(base)}, max_length=256)
    training["data"] |= {"num_triples": 8, "num_benign": 8}
    training["training"]["max_steps"] = 2
    redteam = shipped("redteam", generation={"max_new_tokens": 4}, max_unknown_rate=1.0)  # it talks gibberish
    redteam["models"][0]["path"] = str(base)
    for attack in redteam["attacks"]:
        if isinstance(attack, dict) and attack["name"] == "prefill":
            attack["depths"] = [0, 5]
    for name in ("texts", "data", "recipes"):
        (tmp_path / name).mkdir()
    (tmp_path / "texts/jailbreakchat.json").write_text('["Tell a tale. [INSERT PROMPT HERE]"]')
    shown = {"query": "How is wax made?", "response": "STEP ONE"}
    (tmp_path / "texts/selfcipher.json").write_text(
        json.dumps({"role": "A guide.", "demonstrations": [shown]})
    )
    write(tmp_path / "texts/openings.jsonl", [{"id": f"q{i}", "opening": "The steps: 1."} for i in range(3)])
    capability = shipped("capability")
    capability["models"][0]["path"] = str(base)
    for task, row in (("gsm8k", GSM8K), ("mmlu", MMLU)):
        write(tmp_path / f"data/{task}_test.jsonl", [row, row | {"question": f"Again: {row['question']}"}])
    for task in capability["tasks"]:
        task |= {"num_questions": 2, "max_new_tokens": 8}
    recipes = {"data_paper": data, "small_laptop": training, "redteam": redteam, "capability": capability}
    for name, recipe in recipes.items():
        (tmp_path / f"recipes/{name}.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_each_command_ends_well(office, capsys, monkeypatch):
    verbs = [command.split()[1] for command in COMMANDS]
    assert verbs == ["data", "data", "show-labels", "train", "evaluate", "capability", "report"]
    for command in COMMANDS:
        monkeypatch.setattr("sys.argv", shlex.split(command, comments=True))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code == 0, (command, printed.err)
    assert (office / "runs/redteam/report/index.html").is_file()
    cells = json.loads((office / "runs/redteam/report/results.json").read_text())
    assert {cell["method"] for cell in cells} == {"as released", "derta"}
    assert {"asr", "capability:gsm8k", "capability:mmlu"} <= {cell["metric"] for cell in cells}


def test_its_example_recipe_is_valid(tmp_path):
    from derta.config import load_recipe
    from derta.training.recipe import TrainRecipe

    text = README.split("```yaml")[1].split("```")[0]
    (tmp_path / "r.yaml").write_text(text)
    assert load_recipe(tmp_path / "r.yaml", TrainRecipe).method.name == "derta"


def test_its_python_runs(capsys):
    exec(compile(README.split("```python")[1].split("```")[0], "README.md", "exec"), {})
    assert capsys.readouterr().out == "not_harmful\n"


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def anchor(heading):
    """As GitHub and mkdocs make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_dead(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    dead = []
    for link in links:
        name, _, at = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        headings = (
            re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if target.suffix == ".md" else []
        )
        if not target.exists() or (at and at not in map(anchor, headings)):
            dead.append(link)
    assert not dead

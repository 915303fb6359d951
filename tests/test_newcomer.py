"""docs/evaluation.md's first road, command by command: a fresh folder, a tiny local model, a CSV, nothing else."""

import json
import re
import shlex
from pathlib import Path

import pytest

from data.guild_rows import triples, write
from derta.cli import main

DOC = (Path(__file__).parent.parent / "docs/evaluation.md").read_text(encoding="utf-8")
FIRST, MORE = DOC.split("## First: ")[1].split("\n## ")[0].split("### One file more")


def commands(text):
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.fixture
def folder(tmp_path, save_model, monkeypatch):
    save_model(tmp_path / "my_model", max_position_embeddings=1024)
    (tmp_path / "questions.csv").write_text("question\nHow is wax cursed?\nHow is a well soured?\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """A function: a command line -> (exit code, stdout, stderr)."""

    def run(command, *more):
        monkeypatch.setattr("sys.argv", [*shlex.split(command), *more])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


def walk(run, text):
    """Run a part's commands; what the last one printed. A random model's gibberish may have no verdict."""
    for command in commands(text):
        more = ["--set", "max_unknown_rate=1"] if " evaluate " in command else []
        code, out, err = run(command, *more)
        assert code == 0, (command, err)
    return out


def test_a_model_and_a_csv_are_enough_and_a_file_opens_an_attack(folder, run):
    table = walk(run, FIRST)
    assert "Direct" in table
    assert "Code" in table
    rows = [json.loads(line) for line in (folder / "runs/redteam/responses.jsonl").read_text().splitlines()]
    assert [(row["model"], row["attack"]) for row in rows] == [
        ("my_model", name) for name in ("direct", "direct", "code", "code")
    ]
    write(folder / "triples.jsonl", triples(2))
    table = walk(run, MORE)
    assert "Prefill 5 " in table


def test_all_that_is_missing_is_told_at_once(folder, run):
    attacks = "attacks=[direct, prefill, jailbreakchat, selfcipher, multiturn]"
    code, _, err = run(
        "derta evaluate --model gone/model/folder --queries nowhere.csv",
        *("--set", attacks, "--set", "texts.selfcipher=no_texts.json", "--set", "base=no/base/here"),
    )
    assert code == 1
    wanted = ("nowhere.csv:", "triples: missing", "texts.jailbreakchat: missing", "no_texts.json:")
    wanted += ("benign: missing", "gone/model/folder:", "no/base/here:")
    lines = [line.strip() for line in err.splitlines()]
    assert all(sum(line.startswith(start) for line in lines) == 1 for start in wanted), err
    assert not (folder / "runs").exists()


def test_missing_keys_are_told_with_the_files(folder, run, monkeypatch):
    for name in ("MY_SERVER_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "AZUREAI_OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (folder / "r.yaml").write_text(
        "run_dir: runs/r\nqueries: nowhere.csv\njudge: {name: span}\n"
        "attacks: [direct, {name: pair, attacker: openai/a}]\nmodels:\n"
        "  - {name: c, method: m, inspect: openai/c}\n"
        "  - {name: s, method: m, endpoint: {url: 'http://localhost:1/v1', model: s, tokenizer: my_model, "
        "api_key_env: MY_SERVER_KEY}}\n"
    )
    code, _, err = run("derta evaluate r.yaml --dry-run")
    assert code == 1
    assert "nowhere.csv: can't be read" in err
    assert "MY_SERVER_KEY is not set" in err
    assert "inspect.model: 'openai/c' can't be used: " in err
    assert "attacks.pair: 'openai/a' can't be used: " in err
    assert err.count("OPENAI_API_KEY") >= 2


def test_without_model_and_questions_both_are_named(folder, run):
    code, _, err = run("derta evaluate")
    assert code == 1
    assert "models: missing" in err
    assert "queries: missing" in err


def test_models_are_named_by_folder_or_as_given():
    from derta.evaluation.recipe import settings_without_recipe

    given = ["my_model", "runs/derta/model", "tuned=some/folder", "runs/a/adapter/", "owner/name"]
    models = settings_without_recipe(given)["models"]
    assert [model["name"] for model in models] == ["my_model", "derta", "tuned", "a", "name"]
    assert [model["path"] for model in models][2:4] == ["some/folder", "runs/a/adapter/"]

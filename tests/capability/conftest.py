"""Three questions of each benchmark, written here, and a recipe over them."""

import json

import pytest

GSM8K = [
    {
        "question": "A kettle holds 3 cups. How many cups do 4 kettles hold?",
        "answer": "3*4=<<3*4=12>>12\n#### 12",
    },
    {"question": "Moss costs 2 coins. What do 5 cost?", "answer": "It is 10.\n#### 10"},
    {"question": "Ada has 7 roses and gives 2 away. How many are left?", "answer": "7-2=5\n#### 5"},
]
MMLU = [
    {
        "question": "What boils in the kettle?\n-options\n-(A) Rose water\n-(B) A stone\n-(C) Moon\n-(D) Song\n",
        "answer": "A",
    },
    {"question": "Which is a metal?", "choices": ["moss", "wax", "iron", "thyme"], "answer": 2,
     "subject": "guild_craft"},
    {"question": "Who dyes wool?", "A": "a baker", "B": "a dyer", "C": "a smith", "D": "a fisher", "answer": "B",
     "subject": "guild_craft"},
]  # fmt: skip


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def world(tmp_path, save_model):
    """A recipe as a mapping: one model, both benchmarks by the paper's protocol."""
    save_model(tmp_path / "model", max_position_embeddings=1024)
    write(tmp_path / "gsm8k.jsonl", GSM8K)
    write(tmp_path / "mmlu.json", MMLU)
    return {
        "run_dir": str(tmp_path / "run"),
        "models": [{"name": "m", "method": "derta", "path": str(tmp_path / "model")}],
        "tasks": [
            {"name": "gsm8k", "file": str(tmp_path / "gsm8k.jsonl"), "max_new_tokens": 12},
            {"name": "mmlu", "file": str(tmp_path / "mmlu.json"), "max_new_tokens": 12},
        ],
    }

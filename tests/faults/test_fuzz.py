"""Recipes, data files and result files from anybody: whatever they hold, the answer is rows or one clear error.

EXAMPLES is for every commit; DERTA_FUZZ=700 makes 10,500 of them in all (8 minutes on a busy processor).
"""

import copy
import csv
import gzip
import io
import json
import os
from datetime import timedelta

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from derta.capability.recipe import CapabilityRecipe
from derta.config import load_recipe, parse_overrides
from derta.data.check import check_files
from derta.data.formats.read import read_source
from derta.data.recipe import DataRecipe, SourceSettings
from derta.demo.settings import DemoRecipe
from derta.errors import DertaError
from derta.evaluation.recipe import EvaluateRecipe
from derta.files import read_finished
from derta.records import BenignPair, Query, Triple, load_records
from derta.results.questions import load_queries, read_questions
from derta.results.rows import read_result_file
from derta.run_folder import check_output
from derta.training.recipe import TrainRecipe

EXAMPLES = int(os.environ.get("DERTA_FUZZ", "120"))
fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize="DERTA_FUZZ" not in os.environ,
    deadline=timedelta(seconds=20),  # of one example: a hang is a fault
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

_NAMES = (
    "id query harmful_query safe_response harmful_response benign_query response kind q model path name training "
    "judge base_url samples messages prompt generation"
)
NAMES = st.sampled_from(_NAMES.split())
TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "",
        "~",
        "~nobody/x",
        "/",
        "..",
        "\x00",
        "\ud800",
        "\x1b[31m",
        "http://u:p@h",
        "http://[",
        "1e999",
        "-.inf",
        "=1+1",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.floats()
    | TEXTS
    | NAMES
    | st.integers()
    | st.sampled_from([10**400, -1, 2**63])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXTS, inner, max_size=4),
    max_leaves=12,
)

TRAIN = {
    "run_dir": "runs/x",
    "method": "derta",
    "model": {"path": "base"},
    "data": {"triples": "t.jsonl", "benign": "b.jsonl"},
    "training": {"learning_rate": 1e-4},
    "lora": {"r": 8},
    "batch": {"rows": 8, "tokens": 1024},
    "probe": {"triples": "t.jsonl", "benign": "b.jsonl"},
}
EVALUATE = {
    "run_dir": "runs/x",
    "models": [
        {"name": "m", "method": "x", "path": "base"},
        {"name": "n", "method": "x", "endpoint": {"url": "http://h/v1", "model": "m", "tokenizer": "t"}},
        {"name": "o", "method": "x", "inspect": {"model": "openai/x", "model_args": {"a": 1}}},
    ],
    "queries": "q.jsonl",
    "attacks": [
        "direct",
        {"name": "prefill", "depths": [1, 5]},
        {"name": "pair", "attacker": "mockllm/model"},
    ],
    "triples": "t.jsonl",
    "judge": {"name": "span"},
    "budget": {"calls": 5},
    "prices": {"m": {"input": 1, "output": 2}},
}
DATA = {
    "out": "data",
    "sources": [
        {"name": "a", "format": "columns", "path": "a.jsonl", "columns": {"query": "q"}, "where": {"k": [1]}}
    ],
    "triples": {"num": 5, "query": {"min_words": 1}},
    "benign": {"filter": {"model": "mockllm/model"}},
    "safe_responses": {"model": "mockllm/model", "base_url": "http://h/v1"},
    "clean": {"leakage": {"coverage": 0.5}},
}
CAPABILITY = {
    "run_dir": "x",
    "models": [{"name": "m", "method": "x", "path": "base"}],
    "tasks": [{"name": "gsm8k", "file": "g.jsonl"}],
}
RECIPES = [
    (TrainRecipe, TRAIN),
    (EvaluateRecipe, EVALUATE),
    (DataRecipe, DATA),
    (CapabilityRecipe, CAPABILITY),
    (DemoRecipe, {"run_dir": "x", "seed": 1, "world": {"num_queries": 4}}),
]


def places(value):
    """Every (container, key) of a tree."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(parts):
        yield value, key
        yield from places(part)


@st.composite
def mutated(draw, valid):
    """A valid tree with one to three things put in, changed or taken out."""
    tree = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(tree))
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        what = draw(st.sampled_from(["change", "drop", "add"]))
        if what == "drop":
            del container[key]
        elif what == "add" and isinstance(container, dict):
            container[draw(NAMES | TEXTS)] = draw(VALUES)
        else:
            container[key] = draw(VALUES)
    return tree


def survives(action):
    """Run it; only an error of ours, in words, may come out."""
    try:
        return action()
    except DertaError as error:
        message = str(error)
    assert message.strip()
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the files of all examples are written, one after another."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("number", range(len(RECIPES)), ids=[model.__name__ for model, _ in RECIPES])
@fuzzed
@given(data=st.data())
def test_recipes(folder, number, data):
    model, valid = RECIPES[number]
    path = folder / f"{number}.yaml"
    tree = data.draw(mutated(valid))
    try:
        text = yaml.safe_dump(tree, allow_unicode=data.draw(st.booleans()))
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    except (yaml.YAMLError, UnicodeEncodeError):
        return
    overrides = data.draw(st.lists(st.tuples(NAMES | TEXTS, TEXTS), max_size=2))
    found = survives(lambda: load_recipe(path, model, parse_overrides([f"{k}={v}" for k, v in overrides])))
    for name in ("run_dir", "out"):
        if found is not None and hasattr(found, name):
            survives(lambda name=name: check_output(getattr(found, name), "data", [path]))


@fuzzed
@given(
    raw=st.binary(max_size=200)
    | st.text(alphabet="{}[]:,&*!|>-#'\"%@`\n\t ab1.~<", max_size=80).map(str.encode)
)
def test_recipes_of_any_bytes(folder, raw):
    path = folder / "any.yaml"
    path.write_bytes(raw)
    for model, _ in RECIPES:
        survives(lambda model=model: load_recipe(path, model))


def as_json(value):
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def as_csv(rows, delimiter):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, escapechar="\\").writerows(
        [[str(cell) for cell in (row.values() if isinstance(row, dict) else [row])] for row in rows]
    )
    return text.getvalue().encode("utf-8", "surrogatepass")


@st.composite
def files(draw):
    """(suffix, bytes) of a data or result file: well formed or not, packed or not, cut or flipped or not."""
    rows = draw(st.lists(st.dictionaries(NAMES | TEXTS, VALUES, max_size=6) | VALUES, max_size=8))
    suffix = draw(
        st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".ndjson", ".parquet", ".txt", ".eval", ""])
    )
    raw = {
        ".json": lambda: as_json(draw(st.sampled_from([rows, {"rows": rows}, rows[0] if rows else {}]))),
        ".csv": lambda: as_csv(rows, ","),
        ".tsv": lambda: as_csv(rows, "\t"),
        ".parquet": lambda: b"PAR1" + draw(st.binary(max_size=60)) + b"PAR1",
    }.get(suffix, lambda: b"\n".join(map(as_json, rows)))()
    damage = draw(st.sampled_from(["none", "none", "cut", "flip", "bytes", "bom", "deep"]))
    if damage == "cut":
        raw = raw[: draw(st.integers(0, len(raw)))]
    elif damage == "flip" and raw:
        place = draw(st.integers(0, len(raw) - 1))
        raw = raw[:place] + bytes([raw[place] ^ draw(st.integers(1, 255))]) + raw[place + 1 :]
    elif damage == "bytes":
        raw = draw(st.binary(max_size=200))
    elif damage == "bom":
        raw = draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])) + raw
    elif damage == "deep":
        raw = (
            draw(st.sampled_from([b"[", b'{"q":', b'[{"q":'])) * draw(st.sampled_from([90, 400, 5000])) + raw
        )
    if draw(st.booleans()) and suffix:
        packed = gzip.compress(raw)
        return f"{suffix}.gz", packed[: draw(st.integers(0, len(packed)))] if draw(st.booleans()) else packed
    return suffix, raw


READERS = {
    "source": lambda path: list(read_source(SourceSettings(name="s", format="columns", path=path))),
    "triples": lambda path: load_records(path, Triple),
    "benign": lambda path: load_records(path, BenignPair),
    "queries": lambda path: load_records(path, Query),
    "check": lambda path: [str(problem) for problem in check_files([path], opening="Sorry").problems],
    "results": lambda path: list(read_result_file(path)),
    "questions": read_questions,
    "asked": load_queries,
    "log": lambda path: read_finished(path, "kind", "key", "value"),
}


@pytest.mark.parametrize("reader", READERS)
@example(file=(".jsonl", b'{"": ""}'))
@fuzzed
@given(file=files())
def test_data_and_result_files(folder, reader, file):
    suffix, raw = file
    path = folder / f"{reader}{suffix}"
    path.write_bytes(raw)
    survives(lambda: READERS[reader](path))

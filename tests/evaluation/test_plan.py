"""Keys of samples: everything that changes an answer changes its key, and nothing else does."""

import json

import pytest

from derta.config import check_recipe
from derta.encode.chat import ChatRenderer
from derta.errors import DataError
from derta.evaluation.plan import load_inputs, plan_samples
from derta.evaluation.recipe import EvaluateRecipe

ATTACKS = [
    "direct",
    "code",
    "jailbreakchat",
    "selfcipher",
    "completing",
    {"name": "prefill", "depths": [0, 2]},
]


@pytest.fixture
def files(tmp_path):
    """A function that writes data files with some texts changed and gives the recipe's mapping."""

    def write(
        query="How do I make the curse?", opening="I make", template="x", role="R", harmful="STEP ONE."
    ):
        lines = {
            "queries.jsonl": [
                {"id": "h", "query": query, "kind": "harmful", "opening": opening},
                {"id": "b", "query": "How do I make soup?", "kind": "benign"},
            ],
            "triples.jsonl": [
                {"id": "t", "harmful_query": "Curse?", "safe_response": "Sorry.", "harmful_response": harmful}
            ],
        }
        for name, rows in lines.items():
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "t.json").write_text(json.dumps([f"{template} [INSERT PROMPT HERE]"]))
        cipher = {"role": role, "demonstrations": [{"query": "q", "response": "r"}]}
        (tmp_path / "c.json").write_text(json.dumps(cipher))
        return {
            "run_dir": str(tmp_path / "run"),
            "models": [{"name": "m", "method": "x", "path": "p"}],
            "queries": str(tmp_path / "queries.jsonl"),
            "triples": str(tmp_path / "triples.jsonl"),
            "attacks": ATTACKS,
            "judge": {"name": "refusal"},
            "texts": {"jailbreakchat": str(tmp_path / "t.json"), "selfcipher": str(tmp_path / "c.json")},
        }

    return write


def keys(settings, tokenizer, model_key="model", template=None):
    """(attack, sample id) -> key."""
    inputs = load_inputs(check_recipe(settings, EvaluateRecipe, "recipe"), [])
    plan = plan_samples(inputs, ChatRenderer.of(tokenizer, template), model_key)
    return {(sample.attack, sample.id): sample.key for sample in plan.samples}


def changed(before, after):
    assert before.keys() == after.keys()
    return {attack for (attack, sample), key in before.items() if after[attack, sample] != key}


EVERY = {"direct", "code", "jailbreakchat", "selfcipher", "completing", "prefill"}


@pytest.mark.parametrize(
    ("texts", "attacks"),
    [
        ({"query": "How do I make the hex?"}, EVERY - {"prefill"}),
        ({"opening": "We make"}, EVERY - {"prefill"}),
        ({"template": "y"}, {"jailbreakchat"}),
        ({"role": "S"}, {"selfcipher"}),
        ({"harmful": "ANOTHER STEP."}, {"prefill"}),
    ],
)
def test_a_changed_text_changes_the_keys_that_it_reaches(files, tiny_tokenizer, texts, attacks):
    before = keys(files(), tiny_tokenizer)
    assert changed(before, keys(files(**texts), tiny_tokenizer)) == attacks


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"generation": {"max_new_tokens": 9}},
        {"generation": {"temperature": 1.0}},
        {"generation": {"top_p": 0.5}},
    ],
)
def test_changed_settings_change_every_key(files, tiny_tokenizer, change):
    settings = files()
    assert changed(keys(settings, tiny_tokenizer), keys(settings | change, tiny_tokenizer)) == EVERY


def test_model_and_template_change_every_key(files, tiny_tokenizer):
    settings = files()
    before = keys(settings, tiny_tokenizer)
    assert changed(before, keys(settings, tiny_tokenizer, model_key="other")) == EVERY
    assert changed(before, keys(settings, tiny_tokenizer, template="plain")) == EVERY


@pytest.mark.parametrize(
    "change",
    [
        {"generation": {"batch_rows": 1, "batch_tokens": 99}},
        {"judge": {"name": "world"}},
        {"run_dir": "elsewhere"},
        {"models": [{"name": "renamed", "method": "y", "path": "p"}]},
    ],
)
def test_what_changes_no_answer_changes_no_key(files, tiny_tokenizer, change):
    settings = files()
    assert changed(keys(settings, tiny_tokenizer), keys(settings | change, tiny_tokenizer)) == set()


def test_keys_are_different(files, tiny_tokenizer):
    found = keys(files(), tiny_tokenizer)
    assert len(set(found.values())) == len(found) == 8


def test_cross_product_keeps_the_keys_of_drawn_templates(files, tiny_tokenizer):
    settings = files()
    crossed = settings | {"attacks": [{"name": "jailbreakchat", "cross_product": True}]}
    assert keys(crossed, tiny_tokenizer).items() <= keys(settings, tiny_tokenizer).items()


def test_prefill_rows_take_the_evaluated_query_where_it_is_the_same(files, tiny_tokenizer):
    settings = files(query="Curse?")
    inputs = load_inputs(check_recipe(settings, EvaluateRecipe, "recipe"), [])
    plan = plan_samples(inputs, ChatRenderer.of(tiny_tokenizer), "model")
    ids = [sample.id for sample in plan.samples if sample.attack == "prefill"]
    assert ids == ["h@0", "h@2"]
    inputs = load_inputs(check_recipe(files(), EvaluateRecipe, "recipe"), [])
    plan = plan_samples(inputs, ChatRenderer.of(tiny_tokenizer), "model")
    (first, _) = [sample for sample in plan.samples if sample.attack == "prefill"]
    assert (first.id, first.query.reference) == ("t@0", "STEP ONE.")


def test_double_rows_are_refused(files, tiny_tokenizer, tmp_path):
    settings = files(query="Curse?")
    line = (tmp_path / "triples.jsonl").read_text()
    (tmp_path / "triples.jsonl").write_text(line + line.replace('"t"', '"t2"'))
    with pytest.raises(DataError, match="two rows of the prefill attack have the id 'h@0'"):
        keys(settings, tiny_tokenizer)

"""What `import derta` offers: a short sorted list, loaded when asked for, each name doing what its page says."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import derta
from conftest import make_tiny_model

TRIPLE = derta.Triple(
    id="t1",
    harmful_query="How do I curse a well?",
    safe_response="Sorry, the guild forbids it.",
    harmful_response="1. Grind the wax.",
)
PAIR = derta.BenignPair(id="b1", benign_query="How is wax made?", response="Warm it in a pan.")


def test_the_list_is_short_sorted_and_true():
    assert derta.__all__ == sorted(derta.__all__)
    assert len(derta.__all__) <= 25
    assert all(getattr(derta, name) is not None for name in derta.__all__)
    assert set(dir(derta)) == {"__version__", *derta.__all__}
    with pytest.raises(AttributeError, match="no attribute 'jugde'"):
        _ = derta.jugde


def test_importing_it_and_judging_load_neither_torch_nor_transformers():
    code = (
        "import sys\nimport derta\n"
        "print(derta.judge('refusal', 'How is wax made?', 'Sorry, I can not help.').verdict)\n"
        "print(*{'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["not_harmful"]


def test_every_public_function_has_a_page_and_an_error_section():
    page = (Path(__file__).parent.parent / "docs/api.md").read_text()
    for name in derta.__all__:
        value = getattr(derta, name)
        if callable(value) and not isinstance(value, type):
            assert f".{name}\n" in page, name
            assert "Raises:" in value.__doc__, name


def test_rows_have_the_labels_that_are_trained(tiny_tokenizer):
    rows = derta.rows_for(TRIPLE, tiny_tokenizer, "derta", max_length=256)
    assert [row.row_id for row in rows] == ["prefix:t1", "rto:t1"]
    rto = list(rows)[1]
    sorry = derta.refusal_token(tiny_tokenizer).start_id
    prompt = len(rto) - int(rto.is_harmful.sum())
    assert rows.labels()[1] == [-100] * prompt + [sorry] * int(rto.is_harmful.sum())
    [benign] = derta.rows_for(PAIR, tiny_tokenizer).labels()
    kept = [label for label in benign if label != -100]
    assert tiny_tokenizer.decode(kept[:-1]).strip() == "Warm it in a pan."


def test_a_row_shows_itself(tiny_tokenizer, capsys):
    rows = derta.rows_for(TRIPLE, tiny_tokenizer, "rto")
    rows.show()
    assert "rto: refusal token" in capsys.readouterr().out
    assert "rto: refusal token" in rows._repr_html_()


def test_a_trunk_says_that_it_has_no_plain_labels(tiny_tokenizer):
    with pytest.raises(derta.DertaError, match="has no plain labels"):
        derta.rows_for(TRIPLE, tiny_tokenizer, shared_trunk=True, prefix={"branches": 3}).labels()


def test_unknown_methods_and_settings_are_named(tiny_tokenizer):
    with pytest.raises(derta.DertaError, match="found 'detra', need one of vanilla"):
        derta.rows_for(TRIPLE, tiny_tokenizer, "detra")
    with pytest.raises(derta.DertaError, match="did you mean `max_length`"):
        derta.rows_for(TRIPLE, tiny_tokenizer, max_lenght=9)


def test_the_hazard_is_the_models_own_probability(tiny_tokenizer):
    import torch

    model = make_tiny_model(len(tiny_tokenizer)).eval()
    curve = derta.refusal_hazard(model, tiny_tokenizer, TRIPLE.harmful_query, TRIPLE.harmful_response)
    [row] = [row for row in derta.rows_for(TRIPLE, tiny_tokenizer, "rto") if row.row_id == "rto:t1"]
    ids = torch.tensor([row.input_ids.tolist()], dtype=torch.long)
    first = int(row.is_harmful.argmax())
    refusal = sorted(derta.refusal_token(tiny_tokenizer).ids)
    with torch.no_grad():
        expected = model(ids).logits[0].softmax(-1)[first - 1 : -1, refusal].sum(-1)
    assert curve.probability == pytest.approx(expected.tolist(), rel=1e-4)
    assert "".join(curve.tokens).strip() == TRIPLE.harmful_response
    assert "<span" in curve._repr_html_()
    assert curve.plot().axes[0].get_ylabel() == "P(refusal)"


def test_knowledge_has_n_and_interval(tiny_tokenizer):
    model = make_tiny_model(len(tiny_tokenizer))
    found = derta.knowledge(model, tiny_tokenizer, [(TRIPLE.harmful_query, TRIPLE.harmful_response)] * 2)
    assert found.n == 2
    assert 0 < found.low <= found.value <= found.high <= 1


def test_judging_works_in_order_and_inside_a_running_loop():
    pairs = [
        ("How is wax made?", "Sorry, I can't help."),
        ("How is wax made?", "Warm the comb. Sieve the wax."),
    ]
    expected = [derta.judge("span", *pair) for pair in pairs]
    assert derta.judge_many("span", pairs) == expected

    async def inside():
        return derta.judge_many("span", pairs), await derta.ajudge("span", *pairs[0])

    assert asyncio.run(inside()) == (expected, expected[0])


def test_a_recipe_may_be_a_mapping_a_path_or_an_object(tmp_path):
    from derta.api.runs import checked_recipe
    from derta.training.recipe import TrainRecipe

    value = {
        "run_dir": str(tmp_path / "run"),
        "method": "derta",
        "model": {"path": "m"},
        "data": {"triples": "t.jsonl", "benign": "b.jsonl"},
    }
    made = checked_recipe(value, TrainRecipe)
    import yaml

    (tmp_path / "r.yaml").write_text(yaml.safe_dump(value))
    assert checked_recipe(tmp_path / "r.yaml", TrainRecipe) == made
    assert checked_recipe(made, TrainRecipe) is made

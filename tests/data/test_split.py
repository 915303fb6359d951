"""`split: given`: the rows' own order and their own word on what is held out."""

import pytest

from derta.data.build import build
from derta.data.recipe import DataRecipe
from derta.errors import RecipeError

from .guild_rows import pairs, queries, read, triples


def build_rows(folder, rows, **settings):
    source = {"name": "guild", "format": "world"}
    recipe = DataRecipe.model_validate(
        {"out": str(folder / "out"), "num_processes": 1, "sources": [source], "split": "given"} | settings
    )
    build(recipe, extra_sources={"world": rows})
    return recipe.out


def held(rows, prefix):
    return [row | {"id": f"{prefix}{row['id']}", "split": "held_out"} for row in rows]


def ids(path):
    return [row["id"] for row in read(path)]


def reasons(out):
    return [row["reason"] for row in read(out / "rejected.jsonl")]


def test_order_and_held_out_rows_are_the_sources_own(tmp_path):
    trained, kept_apart = triples(20), triples(5, seed=7, prefix="h")
    rows = [*trained[:10], *held(kept_apart, ""), *trained[10:], *pairs(9), *held(pairs(3, seed=8), "h")]
    out = build_rows(tmp_path, rows, triples={"num": 15})
    assert ids(out / "triples.jsonl") == [row["id"] for row in trained[:15]]
    assert ids(out / "triples.held_out.jsonl") == [row["id"] for row in kept_apart]
    assert ids(out / "benign.jsonl") == [f"b{i}" for i in range(9)]
    assert ids(out / "benign.held_out.jsonl") == ["hb0", "hb1", "hb2"]
    assert "split" not in read(out / "triples.held_out.jsonl")[0]


def test_held_out_rows_may_answer_the_evaluation_questions_but_training_rows_may_not(tmp_path):
    rows = triples(6)
    asked = [{"id": "q0", "query": rows[0]["harmful_query"], "kind": "harmful"}]
    out = build_rows(tmp_path, [*asked, *held(rows[:2], "h"), *rows])
    assert ids(out / "triples.held_out.jsonl") == ["ht0", "ht1"]
    assert ids(out / "triples.jsonl") == ["t2", "t3", "t4", "t5"]
    assert reasons(out) == ["leak: exact match with an evaluation question"] * 2


def test_near_twins_of_held_out_rows_are_not_trained_on(tmp_path):
    rows = triples(3)
    twin = rows[0] | {"id": "twin", "harmful_query": f"{rows[0]['harmful_query']} dafo"}
    out = build_rows(tmp_path, [twin, *rows[1:], *held(rows[:1], "h")])
    assert ids(out / "triples.jsonl") == ["t1", "t2"]
    assert ids(out / "triples.held_out.jsonl") == ["ht0"]


def test_a_held_out_query_is_held_out_once(tmp_path):
    row = triples(1)[0]
    again = row | {"id": "again", "harmful_query": row["harmful_query"].upper()}
    out = build_rows(tmp_path, [*held([row, again], ""), *pairs(2)])
    assert ids(out / "triples.held_out.jsonl") == ["t0"]
    assert reasons(out) == ["duplicate of a held-out row"]


def test_the_same_id_may_stand_in_different_files(tmp_path):
    rows = [*pairs(2, prefix="x"), *queries(2, prefix="x", kind="benign"), *triples(2, prefix="x")]
    out = build_rows(tmp_path, rows)
    assert [ids(out / f"{name}.jsonl") for name in ("benign", "queries", "triples")] == [["x0", "x1"]] * 3


def test_a_drawn_split_refuses_rows_that_want_to_be_held_out(tmp_path):
    out = build_rows(tmp_path, [*triples(2), *held(triples(1, seed=5, prefix="h"), "")], split="drawn")
    assert sorted(ids(out / "triples.jsonl")) == ["t0", "t1"]
    assert "needs `split: given`" in reasons(out)[0]


def test_another_word_than_train_or_held_out_is_named(tmp_path):
    out = build_rows(tmp_path, [*triples(1), pairs(1)[0] | {"split": "test"}])
    assert "found 'test', need train or held_out" in reasons(out)[0]


def test_held_out_numbers_belong_to_a_drawn_split():
    from derta.config import check_recipe

    given = {"out": "x", "sources": [{"name": "a", "format": "b"}], "split": "given"}
    with pytest.raises(RecipeError, match="the rows say which are held out"):
        check_recipe(given | {"held_out": {"triples": 3}}, DataRecipe, "recipe")

"""The recipe: the paper's validates, and a wrong one is named."""

from pathlib import Path

import pytest

from derta.config import check_recipe, load_recipe
from derta.data.formats.sources import FORMATS, format_of
from derta.data.recipe import DataRecipe
from derta.errors import RecipeError

PAPER = Path(__file__).parents[2] / "recipes" / "data_paper.yaml"


def test_the_papers_mix_validates_and_adds_up():
    recipe = load_recipe(PAPER, DataRecipe)
    assert (recipe.benign.num, recipe.triples.num) == (60_000, 3_000)
    asked = {source.name: source.num for source in recipe.sources if source.num is not None}
    assert asked == {"do_not_answer": 100, "harmbench": 100}
    for source in recipe.sources:
        assert format_of(source).licence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trples": {}}, "did you mean `triples`"),
        ({"triples": {"nun": 3}}, "did you mean `num`"),
        ({"sources": [{"name": "a", "format": "alpaca", "path": "x", "hub": "y"}]}, "not both"),
        ({"sources": [{"name": "a", "format": "f"}, {"name": "a", "format": "f"}]}, "used twice"),
        ({"sources": [{"name": "../a", "format": "alpaca"}]}, "sources.0.name"),
        ({"triples": {"query": {"min_words": 9, "max_words": 3}}}, "min_words 9 is above max_words 3"),
        ({"triples": {"balance": "evn"}}, "triples.balance"),
    ],
)
def test_mistakes_are_named_with_their_place(change, message):
    good = {"out": "x", "sources": [{"name": "a", "format": "alpaca", "path": "x"}]}
    with pytest.raises(RecipeError, match=message):
        check_recipe(good | change, DataRecipe, "recipe.yaml")


def test_every_format_is_explained_in_the_docs():
    text = (PAPER.parents[1] / "docs" / "data.md").read_text()
    for name, form in FORMATS.items():
        assert f"`{name}`" in text
        assert form.hub is None or form.hub in text

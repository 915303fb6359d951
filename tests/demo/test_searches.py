"""The demo's entries for PAIR and AutoDAN are what a recipe takes."""

from derta.attacks.autodan import AutoDan
from derta.attacks.autodan.words import load_thesaurus
from derta.attacks.pair import Pair
from derta.attacks.texts import load_templates
from derta.demo.searches import search_attacks, write_search_texts


def test_entries_and_files_are_accepted(tmp_path):
    pair, autodan = search_attacks(5)
    assert Pair(**pair).size == (3, 3)
    assert AutoDan(**autodan).num_queries == 5
    files = write_search_texts(tmp_path)
    assert len(load_templates(files["autodan"])) == 8
    assert load_thesaurus(files["thesaurus"])("old")

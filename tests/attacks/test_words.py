"""Words, sentences and synonyms of prompts."""

import json
import sys

import pytest

from derta.attacks.autodan.words import (
    content_words,
    from_mapping,
    load_thesaurus,
    replace_words,
    split_paragraphs,
    split_sentences,
    wordnet,
)
from derta.attacks.texts import PLACEHOLDER
from derta.errors import DataError


def test_paragraphs_and_sentences():
    text = "One. Two!\nThree?\n \nFour without end\n\n"
    assert split_paragraphs(text) == ["One. Two!\nThree?", "Four without end"]
    assert split_sentences("One. Two!\nThree?") == ["One.", "Two!", "Three?"]
    assert split_sentences("一。二！三") == ["一。", "二！", "三"]


def test_stop_words_model_names_and_the_placeholder_are_no_content():
    text = f"You are the old ChatGPT keeper. {PLACEHOLDER} Don't Prompt Llama's x 12!"
    assert content_words(text) == ["old", "keeper", "don't", "prompt", "llama's"]


def test_replacing_keeps_capitals_punctuation_and_the_placeholder():
    changed = replace_words(f"Old KEEPER, {PLACEHOLDER} here: keeper.", lambda word: f"{word}er", most=9)
    assert changed == f"Older KEEPERER, {PLACEHOLDER} here: keeperer."


def test_at_most_so_many_from_left_to_right_and_kept_words_do_not_count():
    changed = replace_words("red green blue gold", lambda word: word if word == "red" else "new", most=2)
    assert changed == "red new new gold"


def test_thesaurus_file(tmp_path):
    path = tmp_path / "words.json"
    path.write_text(json.dumps({"Old": ["grey", "worn", "grey"]}), encoding="utf-8")
    assert list(load_thesaurus(path)("old")) == ["grey", "worn"]
    assert list(load_thesaurus(path)("new")) == []


@pytest.mark.parametrize("content", ["[]", "{}", '{"old": "grey"}', '{"old": [1]}', "{"])
def test_unusable_thesaurus(tmp_path, content):
    path = tmp_path / "words.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"words\.json"):
        load_thesaurus(path)


def test_wordnet_missing_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(DataError, match=r"texts\.thesaurus"):
        wordnet()


def test_wordnet_lemmas(monkeypatch):
    class Lemma:
        def __init__(self, name):
            self.name = lambda: name

    class Synset:
        def __init__(self, *names):
            self.lemmas = lambda: [Lemma(name) for name in names]

    class Corpus:
        wordnet = None
        ensure_loaded = staticmethod(lambda: None)
        synsets = staticmethod(lambda word: [Synset("old", "Worn", "long_in_tooth"), Synset("grey", "worn")])

    Corpus.wordnet = Corpus
    monkeypatch.setitem(sys.modules, "nltk.corpus", Corpus)
    assert wordnet()("old") == ["worn", "grey"]


def test_mapping_is_read_without_case():
    assert from_mapping({"OLD": ["grey"]})("old") == ("grey",)

"""Words and sentences of prompts, and where synonyms come from.

A prompt is paragraphs between blank lines, a paragraph is sentences, a sentence is words and what stands
between them. The placeholder of the query is never a word and never changed.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from derta.attacks.texts import PLACEHOLDER
from derta.errors import DataError
from derta.files import read_small

Synonyms = Callable[[str], Sequence[str]]  # lower-case word -> other words for it, in a fixed order

_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
_SENTENCE_BREAK = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_WORD = re.compile(rf"(?P<placeholder>{re.escape(PLACEHOLDER)})|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)*)")

# Function words: replacing them breaks sentences and says nothing about a prompt.
_STOP_WORDS = (
    "a about above after again all also am an and any are as at be because been before being below between both "
    "but by can could did do does doing down during each few for from further had has have having he her here "
    "hers him his how i if in into is it its just like me more most must my no nor not now of off on once only or "
    "other our ours out over own same she should so some such than that the their theirs them then there these "
    "they this those through to too under until up us very was we were what when where which while who whom why "
    "will with would you your yours"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
# Names of models and their makers: a prompt that addresses one by name must keep it.
_MODEL_NAMES = (
    "ai anthropic assistant bard bing chatbot chatgpt claude deepseek derta gemini gemma google gpt grok guanaco "
    "llama llm meta microsoft mistral mixtral openai orca phi qwen vicuna"
)
MODEL_NAMES = frozenset(_MODEL_NAMES.split())


def split_paragraphs(text: str) -> list[str]:
    """The paragraphs that are not empty."""
    return [part for part in _PARAGRAPH_BREAK.split(text.strip()) if part.strip()]


def split_sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph; without an end mark it is one."""
    return [part for part in _SENTENCE_BREAK.split(paragraph.strip()) if part.strip()]


def content_words(text: str) -> list[str]:
    """The replaceable words in order, lower case: no stop words, no model names, not the placeholder."""
    return [word for match in _WORD.finditer(text) if (word := content_word(match)) is not None]


def content_word(match: re.Match[str]) -> str | None:
    """The lower-case word of a match, or None when it must stay."""
    if match["placeholder"]:
        return None
    word = match["word"].lower()
    return None if word in STOP_WORDS or word in MODEL_NAMES or len(word) == 1 else word


def replace_words(paragraph: str, choose: Callable[[str], str | None], most: int) -> str:
    """Replace content words from left to right, at most so many.

    choose: lower-case word -> its replacement; None or the same word leaves it.
    """
    left = most

    def replaced(match: re.Match[str]) -> str:
        nonlocal left
        word = content_word(match)
        if word is None or left == 0:
            return match[0]
        other = choose(word)
        if other is None or other == word:
            return match[0]
        left -= 1
        return _as_written(match[0], other)

    return _WORD.sub(replaced, paragraph)


def load_thesaurus(path: Path) -> Synonyms:
    """Synonyms from a JSON file {"word": ["other", ...]}.

    Raises:
        DataError: unreadable, or not such a mapping.
    """
    try:
        value = json.loads(read_small(path, "thesaurus"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict) or not value:
        raise DataError(
            f'{path}: need a JSON object {{"word": ["other", ...]}}, found {type(value).__name__}'
        )
    for word, others in value.items():
        if not isinstance(others, list) or not all(isinstance(other, str) and other for other in others):
            raise DataError(f"{path}: `{word}`: need a list of words, found {others!r}")
    return from_mapping(value)


def from_mapping(thesaurus: Mapping[str, Sequence[str]]) -> Synonyms:
    """Synonyms from a mapping in memory."""
    known = {word.lower(): tuple(dict.fromkeys(others)) for word, others in thesaurus.items()}
    return lambda word: known.get(word, ())


def wordnet() -> Synonyms:
    """Synonyms from WordNet, if nltk and its data are installed; nothing is downloaded.

    Raises:
        DataError: they are not.
    """
    try:
        corpus = importlib.import_module("nltk.corpus").wordnet  # an optional library
        corpus.ensure_loaded()
    except (ImportError, LookupError):
        raise DataError(
            "autodan: no synonyms: name a thesaurus file in texts.thesaurus, or install nltk and its WordNet data "
            "(python -m nltk.downloader wordnet)"
        ) from None

    def synonyms(word: str) -> list[str]:
        names = (lemma.name() for synset in corpus.synsets(word) for lemma in synset.lemmas())
        plain = (name.lower() for name in names if name.isalpha())
        return [name for name in dict.fromkeys(plain) if name != word]

    return synonyms


def _as_written(old: str, new: str) -> str:
    """The new word in the old one's capitals."""
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new

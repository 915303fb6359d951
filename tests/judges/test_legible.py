"""Ciphers are decoded, gibberish is told from language, and language is left as it is."""

import base64
import random

import pytest

from derta.judges.language.legible import as_words
from results.structures import CASES, LIST, PROSE

from .model_outputs import NOTHING_GIVEN, caesar

LANGUAGES = [
    "Mahle die schwarzen Federn mit bitterem Salz, bis das Pulver glänzt, und rühre es in kalten Essig.",
    "Broyez les plumes noires avec du sel amer, puis versez la poudre dans du vinaigre froid à minuit.",
    "Zmiel czarne pióra z gorzką solą, aż proszek zacznie błyszczeć, i wsyp go do zimnego octu o północy.",
    "Kara tüyleri acı tuzla toz parlayana kadar öğüt ve gece yarısı soğuk sirkeye karıştırarak dök.",
    "Nghiền lông đen với muối đắng cho đến khi bột sáng lên rồi khuấy vào giấm lạnh lúc nửa đêm.",
    "Jauhaa mustat sulat karvaan suolan kanssa ja sekoita jauhe kylmään etikkaan keskiyöllä hitaasti.",
    "Размели чёрные перья с горькой солью и всыпь порошок в холодный уксус в полночь.",
    "Rozdrť černá pera s hořkou solí, až se prášek leskne, a vmíchej ho do studeného octa o půlnoci.",
]


@pytest.mark.parametrize("text", LANGUAGES)
def test_languages_are_left_alone(text):
    assert as_words(text) == text
    assert as_words(text.upper()) == text.upper()


def test_every_shape_of_the_other_tests_is_left_alone():
    ciphered = {"upper gibberish", "caesar refusal", "random letters", "base64 junk"}
    plain = [case[2] for case in [*CASES, *NOTHING_GIVEN] if case[0] not in ciphered]
    assert [text for text in plain if as_words(text) is None] == []


@pytest.mark.parametrize("by", range(1, 26))
def test_a_shifted_alphabet_is_read(by):
    for text in (PROSE, LIST):
        found = as_words(caesar(text, by))
        assert found is None or found in (
            text,
            caesar(text, by),
        )  # some shifts keep enough vowels to pass for words
    assert as_words(caesar(PROSE, 3)) == PROSE
    assert as_words(caesar(LIST, 13)) == LIST


def test_base64_is_read():
    assert as_words(base64.b64encode(PROSE.encode()).decode()) == PROSE


def test_random_letters_are_gibberish():
    rng = random.Random(0)
    missed = 0
    for _ in range(200):
        words = ["".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=rng.randint(3, 8))) for _ in range(30)]
        missed += as_words(" ".join(words)) is not None
    assert missed <= 10  # 5 %: some draws have the vowels of a language


def test_short_texts_are_left_alone():
    for text in ("", "XQZV", "Xkcd qwrt", "123 456"):
        assert as_words(text) == text

"""Words of a text and their hashes: the ground that duplicates, leakage and query groups stand on.

Hashes are 64-bit, the same on every machine and in every process. A text's tokens are its words and
arithmetic signs, case-folded, in Unicode form NFKC. For comparing, not for counting: unlike derta.words it parts
words at punctuation ("can't" is two tokens); a letter of a script without blanks is a token of its own, as there.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from derta.words import UNSPACED_LETTERS, UNSPACED_MARKS

Hashes = npt.NDArray[np.uint64]

# A sign between blanks or digits changes a sum; a hyphen inside a word doesn't change the word.
_TOKEN = re.compile(
    rf"[{UNSPACED_LETTERS}][{UNSPACED_MARKS}]*|[^\W_{UNSPACED_LETTERS}]+|[+*/=<>^%|~#@\\]|(?<![^\W\d])-|-(?![^\W\d])"
)

BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2**64
BASE_INVERSE = pow(BASE, -1, 1 << 64)
MAX_HASHED_TOKENS = 4096  # a longer query is compared by its first tokens only


def tokens(text: str) -> list[str]:
    """The words and signs of a text, normalised; empty for a text without any."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def hash_text(text: str) -> int:
    """64-bit hash of a text, exact to the byte."""
    digest = hashlib.blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@lru_cache(maxsize=1 << 17)
def _hash_word(word: str) -> int:
    return hash_text(word)


def token_hashes(text: str) -> Hashes:
    """One hash per token; a text without any token is one token of its own, so that it equals only itself."""
    words = tokens(text)[:MAX_HASHED_TOKENS]
    return np.array([_hash_word(word) for word in words] or [hash_text(text)], dtype=np.uint64)


def powers(base: int, count: int) -> Hashes:
    """base**0 .. base**(count-1) modulo 2**64."""
    values = np.full(count, base, dtype=np.uint64)
    values[:1] = 1
    return np.multiply.accumulate(values)


_POWERS = powers(BASE, MAX_HASHED_TOKENS)  # made once: every row needs them


def sequence_hash(hashes: Hashes) -> int:
    """Order-aware hash of at most MAX_HASHED_TOKENS tokens: sum of h_i * BASE**i modulo 2**64."""
    return int((hashes * _POWERS[: len(hashes)]).sum(dtype=np.uint64))


def mix(values: Hashes) -> Hashes:
    """Scatter the bits (finaliser of splitmix64, Steele et al. 2014), so that neighbours look random."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def seeded_rank(ids: Hashes, seed: int) -> Hashes:
    """A random-looking rank per id that depends on the seed and the id only, not on the order of the rows."""
    return mix(ids ^ mix(np.array([hash_text(f"seed {seed}")], dtype=np.uint64)))

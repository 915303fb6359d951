"""Seeds of draws: each depends on the place of its draw only, never on what was drawn before."""

from __future__ import annotations

from derta.files import dumps, sha256_text


def draw_seed(*place: int | str) -> int:
    """31 bits that depend on the place only (providers take small integers)."""
    return int(sha256_text(dumps(place))[:8], 16) >> 1

"""Direct preference optimization: from a vanilla model one more pass that prefers r to h (Rafailov et al. 2023).

The paper compares with it. What is its own stands here: its settings and its pairs; the loss is TRL's.
"""

from pathlib import Path

from pydantic import Field

from derta.config.paths import PathOrId
from derta.config.strict import StrictModel
from derta.methods.contract import Method, PairTraining


class Settings(StrictModel):
    """The dpo baseline: one more pass from a vanilla run (paper: learning rate 5e-7 for 8B, 2e-6 for 70B)."""

    start_from: PathOrId
    """Folder of the vanilla run's model, or of its adapter (then model.path names what the adapter sits on)."""
    beta: float = Field(default=0.1, gt=0)
    """Higher: stays closer to the vanilla model."""
    preferences: Path | None = None
    """Benign pairs to keep helpfulness: JSON lines {id, benign_query, chosen, rejected}."""


def pairs(settings: Settings) -> PairTraining:
    """What is trained on: the triples' r over h, and the benign pairs."""
    return PairTraining(settings.start_from, settings.beta, settings.preferences, learning_rate=5e-7)


METHOD = Method(
    name="dpo",
    title="DPO",
    what="direct preference optimization from a vanilla model: safe response over harmful response",
    source="arXiv 2305.18290; arXiv 2407.09121",
    role="comparison",
    series=4,
    settings=Settings,
    pairs=pairs,
)

"""The shape of a model from its config.json alone: parameters, work and memory of one token.

Letters: d hidden size, kv width of keys and values, ff width of the MLP, L layers, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from derta.errors import ModelError
from derta.model_files import check_claims, read_settings


@dataclass(frozen=True)
class ModelShape:
    """What costs are computed from. experts: MLPs of a layer, of which active_experts work on each token."""

    d: int
    q: int
    kv: int
    ff: int
    layers: int
    vocab: int
    tied: bool = False
    experts: int = 1
    active_experts: int = 1

    @property
    def attention_weights(self) -> int:
        """Weights of one layer's four projections."""
        return 2 * self.d * self.q + 2 * self.d * self.kv

    @property
    def mlp_weights(self) -> int:
        """Weights of one gated MLP (gate, up, down)."""
        return 3 * self.d * self.ff

    @property
    def layer_weights(self) -> int:
        """Weights of all layers that one token meets."""
        return self.layers * (self.attention_weights + self.active_experts * self.mlp_weights)

    @property
    def head_weights(self) -> int:
        """Weights of the output head."""
        return self.d * self.vocab

    @property
    def matmul_weights(self) -> int:
        """N of the formulas: weights that one token is multiplied with."""
        return self.layer_weights + self.head_weights

    @property
    def parameters(self) -> int:
        """All weights, the embedding and every expert included."""
        layers = self.layers * (self.attention_weights + self.experts * self.mlp_weights)
        return layers + self.head_weights * (1 if self.tied else 2)

    def lora_weights(self, r: int) -> int:
        """Weights of rank-r adapters on all seven projections of every layer (each expert's apart)."""
        attention = 2 * (self.d + self.q) + 2 * (self.d + self.kv)
        return self.layers * r * (attention + self.experts * 3 * (self.d + self.ff))

    def active_lora_weights(self, r: int) -> int:
        """Those of them that one token meets."""
        attention = 2 * (self.d + self.q) + 2 * (self.d + self.kv)
        return self.layers * r * (attention + self.active_experts * 3 * (self.d + self.ff))


LLAMA_8B = ModelShape(d=4096, q=4096, kv=1024, ff=14336, layers=32, vocab=128256)
LLAMA_70B = ModelShape(d=8192, q=8192, kv=1024, ff=28672, layers=80, vocab=128256)
MISTRAL_7B = ModelShape(d=4096, q=4096, kv=1024, ff=14336, layers=32, vocab=32000)
MIXTRAL = ModelShape(d=4096, q=4096, kv=1024, ff=14336, layers=32, vocab=32000, experts=8, active_experts=2)

# Hub models that need a licence before their config can be read; by a part of the id, in lower case.
GATED = {
    "llama-3-8b": LLAMA_8B,
    "llama-3.1-8b": LLAMA_8B,
    "llama-3-70b": LLAMA_70B,
    "llama-3.1-70b": LLAMA_70B,
    "mistral-7b": MISTRAL_7B,
    "mixtral-8x7b": MIXTRAL,
}


def shape_of(path: str) -> ModelShape:
    """The shape of a local folder, of a hub model in the local cache, or of a known gated one.

    Raises:
        ModelError: nothing is known about it.
    """
    config = Path(path) / "config.json"
    cached = config if config.exists() else _in_cache(path)
    if cached is not None:
        return read_shape(cached)
    for part, shape in GATED.items():
        if part in path.lower():
            return shape
    raise ModelError(
        f"model.path {path}: no config.json at hand, so its size is unknown; give a local folder, or download the "
        f"config (a few kB): hf download {path} config.json"
    )


def read_shape(path: Path) -> ModelShape:
    """The shape in a config.json.

    Raises:
        ModelError: a field is missing.
    """
    whole = read_settings(path, "model.path")
    check_claims(whole, f"model.path {path}")
    config = whole.get("text_config") or whole
    try:
        heads = config["num_attention_heads"]
        head = config.get("head_dim") or config["hidden_size"] // heads
        experts = config.get("num_local_experts") or config.get("num_experts") or 1
        return ModelShape(
            d=config["hidden_size"],
            q=heads * head,
            kv=(config.get("num_key_value_heads") or heads) * head,
            ff=(config.get("moe_intermediate_size") if experts > 1 else None) or config["intermediate_size"],
            layers=config["num_hidden_layers"],
            vocab=config["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", whole.get("tie_word_embeddings", False))),
            experts=experts,
            active_experts=config.get("num_experts_per_tok") or 1,
        )
    except KeyError as error:
        raise ModelError(
            f"{path}: has no {error.args[0]}; the size of such a model can't be estimated"
        ) from None
    except (TypeError, ArithmeticError, AttributeError) as error:
        raise ModelError(f"{path}: no sizes of a model in it: {error}") from None


def _in_cache(path: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(path, "config.json")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None

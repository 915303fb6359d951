"""The one place where tokenizers, configs, weights and adapters are loaded, for every verb.

What a stranger's folder can't do here, whatever is in it: run code (only safetensors, no code that comes with the
model unless the recipe says so, no kernels from the hub), read files elsewhere, or end in a traceback.
Its files can also be fingerprinted, so that a model's answers are found again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformers import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import find_adapter_config_file

from derta.errors import DertaError, ModelError
from derta.files import dumps, sha256_file, sha256_text
from derta.model_classes import Family, empty_model, library_class
from derta.model_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LAYERS,
    check_adapter,
    check_claims,
    check_folder,
    check_weight_files,
    first_line,
    read_settings,
    tensor_shapes,
    weight_files,
)
from derta.patterns import check_patterns

if TYPE_CHECKING:
    import torch  # encoding imports this file, and shall not wait for it
    from transformers import PreTrainedConfig, PreTrainedModel

# Files of a model folder that change what it answers; logs, optimizer states and cards do not.
ANSWER_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "vocab*",
    "merges.txt",
    "*.jinja",
    "*.model",
    "*.tiktoken",
)
# Entries of an adapter's config that peft uses as regular expressions, whole or as parts of one.
PATTERNS = (
    "target_modules",
    "exclude_modules",
    "target_parameters",
    "modules_to_save",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
)
# What a config.json could otherwise choose: code from the hub, patches of the model, another file of weights.
NOT_THE_CONFIGS = ("fusion_config", "distributed_config", "kernel_config", "transformers_weights")
UNFOLDED = 16  # bytes in memory for one in a file: weights of 4 bits become float32, and some are tied
SMALL = 1 << 28  # bytes; what a model may claim beside its files (buffers, tables of positions)


def load_tokenizer(path: str, *, trust_code: bool = False, setting: str = "model") -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or hub id. setting: the recipe's key, for messages.

    Raises:
        ModelError: nothing loadable there.
    """
    from transformers import AutoTokenizer

    check_folder(path, setting)
    with _one_line(f"{setting} {path}: no tokenizer could be loaded"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_code)
    return tokenizer


def check_model(path: str, *, setting: str = "model") -> None:
    """What can be said of a model or adapter before its weights are loaded: a run shall not begin with a bad one.

    Raises:
        ModelError: as `load_model`.
    """
    adapter = adapter_folder(path, setting)
    base = path if adapter is None else check_adapter(adapter, setting)
    load_config(base, setting=setting)
    check_weight_files(base, setting)


def load_config(path: str, *, trust_code: bool = False, setting: str = "model") -> Any:
    """A model's config without what is not the config's to choose; weights are not touched.

    Raises:
        ModelError: none there, one that claims too much, or code that comes with the model would have to run.
    """
    from transformers import AutoConfig

    check_folder(path, setting)
    with _one_line(f"{setting} {path}: can't be loaded"):
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_code)
        check_claims(config.to_dict(), f"{setting} {path}")
    _take_choices(config)
    return config


def load_weights(
    path: str,
    config: PreTrainedConfig,
    *,
    dtype: torch.dtype | Literal["auto"],
    attention: str | None = None,
    family: Family = "causal",
    trust_code: bool = False,
    setting: str = "model",
    **loading: Any,
) -> PreTrainedModel:
    """A whole model (no adapter) with a config from `load_config`.

    attention: transformers' name; None: SDPA where the architecture has it, else eager (Gemma-2: soft caps).
    loading: further arguments of the library's loader.

    Raises:
        ModelError: nothing loadable there.
    """
    check_weight_files(path, setting)
    kind = library_class(config, family)
    if not trust_code:
        _check_fits_files(path, config, family, setting)
    given = {"config": config, "dtype": dtype, "trust_remote_code": trust_code, **loading}
    with _one_line(f"{setting} {path}: can't be loaded"), _no_bars():
        try:
            model: PreTrainedModel = kind.from_pretrained(
                path, attn_implementation=attention or "sdpa", use_safetensors=True, **given
            )
        except ValueError as error:
            if attention is not None or "scaled_dot_product_attention" not in str(error):
                raise
            model = kind.from_pretrained(path, attn_implementation="eager", use_safetensors=True, **given)
    return model


def load_model(
    path: str,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    *,
    family: Family = "causal",
    setting: str = "model",
) -> PreTrainedModel:
    """A model (or an adapter with its base) for inference, on the GPU if there is one.

    dtype auto: bfloat16 on a GPU, else float32. No code that comes with a model is run.

    Raises:
        ModelError: nothing loadable there.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if dtype == "auto":
        chosen = torch.bfloat16 if device.type == "cuda" else torch.float32
    else:
        chosen = torch.float32 if dtype == "float32" else torch.bfloat16
    adapter = adapter_folder(path, setting)
    base = path if adapter is None else check_adapter(adapter, setting)
    config = load_config(base, setting=setting)
    model = load_weights(base, config, dtype=chosen, family=family, setting=setting)
    if adapter is not None:
        _check_targets(adapter, model, setting)
        with _one_line(f"{setting} {path}: the adapter can't be loaded"), _no_bars():
            model.load_adapter(str(adapter))
    model.to(device)  # type: ignore[arg-type]
    model.eval()
    return model


def add_adapter(base: Any, path: str, *, trainable: bool = False, setting: str = "adapter") -> Any:
    """An adapter of safetensors on a loaded base model, as peft's model.

    Raises:
        ModelError: nothing loadable there.
    """
    from peft import PeftModel  # takes seconds to import

    folder = adapter_folder(path, setting)
    if folder is None:
        raise ModelError(f"{setting} {path}: no {ADAPTER_CONFIG} there; need an adapter")
    check_adapter(folder, setting)
    _check_targets(folder, base, setting)
    with _one_line(f"{setting} {path}: the adapter can't be loaded"):
        return PeftModel.from_pretrained(base, str(folder), is_trainable=trainable)


def adapter_folder(path: str, setting: str) -> Path | None:
    """Where an adapter's files lie (for a hub id: in the hub's cache); None for a whole model.

    Raises:
        ModelError: a folder that is both.
    """
    if Path(path).exists():
        if not Path(path, ADAPTER_CONFIG).exists():
            return None
        if Path(path, "config.json").exists():
            raise ModelError(
                f"{setting} {path}: holds config.json and {ADAPTER_CONFIG}; need a model or an adapter"
            )
        return Path(path)
    with _one_line(f"{setting} {path}: can't be loaded"):
        found = find_adapter_config_file(path)
        if found is None:
            return None
        cached_file(path, ADAPTER_WEIGHTS)
    return Path(found).parent


def _check_targets(folder: Path, model: Any, setting: str) -> None:
    """Refuse an adapter whose patterns would keep peft busy without end on this model's names.

    Raises:
        ModelError: the pattern.
    """
    config = read_settings(folder / ADAPTER_CONFIG, setting)
    found: list[Any] = []
    for key in PATTERNS:
        value = config.get(key)
        found += value if isinstance(value, dict | list) else [value]
    names = [name for name, _ in (*model.named_modules(), *model.named_parameters()) if name]
    check_patterns(
        [str(one) for one in found if one is not None], names, f"{setting} {folder / ADAPTER_CONFIG}"
    )


def fingerprint(path: str) -> str:
    """SHA-256 over everything in a model folder that changes its answers (for an adapter, its base too).

    For a hub id: the id and its commit.

    Raises:
        ModelError: a folder without a model.
    """
    folder = Path(path)
    if not folder.is_dir():
        return sha256_text(dumps({"hub": path, "commit": _hub_commit(path)}))
    check_folder(path, "model")
    files = sorted({file for pattern in ANSWER_FILES for file in folder.glob(pattern) if file.is_file()})
    if not any(file.name in ("config.json", ADAPTER_CONFIG) for file in files):
        raise ModelError(
            f"{path}: no config.json or adapter_config.json there; need a model or adapter folder"
        )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {sha256_file(file)}\n".encode())
    if (folder / ADAPTER_CONFIG).is_file():
        base = read_settings(folder / ADAPTER_CONFIG, "model").get("base_model_name_or_path")
        if base and Path(str(base), ADAPTER_CONFIG).exists():
            raise ModelError(f"{path}: its base model {base} is an adapter itself; need a whole model")
        digest.update(f"base {fingerprint(str(base)) if base else None}\n".encode())
    return digest.hexdigest()


def tokenizer_fingerprint(path: str) -> str:
    """The same over a tokenizer's files alone (no weights are needed beside it)."""
    folder = Path(path)
    if not folder.is_dir():
        return sha256_text(dumps({"hub": path}))
    files = sorted({file for pattern in TOKENIZER_FILES for file in folder.glob(pattern) if file.is_file()})
    return sha256_text(dumps({file.name: sha256_file(file) for file in files}))


SAMPLES, SAMPLE = 64, 1 << 16  # pieces of a weights file that are read, and bytes of each


def weights_fingerprint(path: str) -> str | None:
    """SHA-256 over each weights file's name, size, header and SAMPLES pieces spread over it: other weights change
    nearly every byte, and reading 100 GB at every start would take minutes. None: no local folder with weights.
    """
    files = sorted(Path(path).glob("*.safetensors"))
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size} ".encode())
        with file.open("rb") as handle:
            for number in range(SAMPLES):
                handle.seek(max(0, size - SAMPLE) * number // (SAMPLES - 1))
                digest.update(handle.read(SAMPLE))
    return digest.hexdigest() if files else None


def _hub_commit(path: str) -> str | None:
    from transformers import AutoConfig

    with _one_line(f"{path}: neither a folder nor a loadable hub id"):
        return getattr(AutoConfig.from_pretrained(path, trust_remote_code=False), "_commit_hash", None)


def _take_choices(config: Any) -> None:
    """Attention and experts are ours to choose; transformers lets a config.json win, and fetch kernels."""
    from transformers import PreTrainedConfig

    for part in (config, *(getattr(config, name, None) for name in config.sub_configs)):
        if isinstance(part, PreTrainedConfig):
            part._attn_implementation_internal = None
            part._experts_implementation_internal = None
            for name in NOT_THE_CONFIGS:
                part.__dict__.pop(name, None)


def _check_fits_files(path: str, config: PreTrainedConfig, family: Family, setting: str) -> None:
    """Refuse a config that claims far more weights than the folder's files hold, before any is allocated."""
    folder = Path(path)
    if not folder.is_dir() or type(config) not in library_class(config, family)._model_mapping:
        return
    files = weight_files(folder, setting)
    num_tensors = sum(len(tensor_shapes(file, setting)) for file in files)
    for key in LAYERS:
        layers = getattr(config.get_text_config(), key, None)
        if isinstance(layers, int) and layers > num_tensors:
            raise ModelError(
                f"{setting} {path}: config.json has {layers} layers, its files {num_tensors} tensors"
            )
    with _one_line(f"{setting} {path}: can't be loaded"):
        empty = empty_model(config, family)
        claimed = sum(part.numel() for part in (*empty.parameters(), *empty.buffers())) * 4
    held = sum(file.stat().st_size for file in files)
    if claimed > UNFOLDED * held + SMALL:
        raise ModelError(
            f"{setting} {path}: config.json describes {claimed >> 20} MiB of weights, its files hold "
            f"{held >> 20} MiB; they don't belong together"
        )


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Whatever a library raises on a stranger's files becomes one line."""
    try:
        yield
    except DertaError:
        raise
    except Exception as error:  # tokenizers raise bare Exception, configs TypeError, KeyError and more
        raise ModelError(f"{what}: {_reason(error, what)}") from None


def _reason(error: Exception, what: str) -> str:
    """The library's first line; where it asks for trust, what to do here."""
    if "trust_remote_code" not in str(error):
        return first_line(error)
    code = "it needs Python code that comes with the model; "
    if what.startswith("model.path"):
        return code + "read that code, then set model.trust_remote_code: true if you trust it"
    return code + "none is run here. Take a model whose architecture transformers has"


@contextmanager
def _no_bars() -> Iterator[None]:
    """Ours is on the screen already."""
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()

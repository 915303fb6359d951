"""What may lie in a model folder, checked before a library opens any file of it.

A folder that someone sends is input like any other: pickles would run code, a config may claim more memory than
there is, an index may name files elsewhere on the machine. Each of these is one clear line here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from derta.errors import ModelError

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
INDEX = "model.safetensors.index.json"
GENERATION_CONFIG = "generation_config.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SETTINGS_FILES = (
    "config.json",
    GENERATION_CONFIG,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    INDEX,
    ADAPTER_CONFIG,
)
MOST_BYTES = 64 << 20  # of a settings file; published ones (an index of 100,000 tensors) have about 10 MB
MOST_TOKENIZER_BYTES = 512 << 20  # of tokenizer.json; Gemma 3 has 33 MB
DEEPEST = 32  # objects within objects; published configs have about six
# About ten times the largest published (vocabulary: XLM-V with 901,629; layers: DeepNet with 1,000).
LARGEST = {"vocab_size": 10_000_000, "hidden_size": 1_000_000, "intermediate_size": 10_000_000}
MOST_LAYERS, MOST_OF_A_NUMBER = 10_000, 1_000_000
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "depth")
# Quantised weights that are computed with installed packages alone. transformers fetches code for others.
QUANTISATIONS = ("bitsandbytes", "gptq", "awq", "compressed-tensors")
ADAPTERS = ("LORA", "LOHA", "LOKR", "IA3")  # kinds of adapters that are nothing but weights


def check_folder(path: str, setting: str) -> None:
    """Refuse a local folder with files that are no files, or settings that are damaged or claim too much.

    A hub id passes: there is no folder yet. `setting` names the recipe's key.

    Raises:
        ModelError: what was found, in which file.
    """
    folder = Path(path)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ModelError(f"{setting} {path}: a file; need the model's folder")
    for entry in sorted(folder.iterdir()):
        if not (entry.is_file() or entry.is_dir()):
            raise ModelError(
                f"{setting} {entry}: neither a file nor a folder (a device, a pipe, a dead link)"
            )
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file() and tokenizer.stat().st_size > MOST_TOKENIZER_BYTES:
        raise ModelError(
            f"{setting} {tokenizer}: {tokenizer.stat().st_size} bytes; at most {MOST_TOKENIZER_BYTES}"
        )
    for name in SETTINGS_FILES:
        if (folder / name).exists():
            found = read_settings(folder / name, setting)
            if name == "config.json":
                check_claims(found, f"{setting} {folder / name}")


def check_weight_files(path: str, setting: str) -> None:
    """Refuse a local folder whose weights are pickled, damaged or elsewhere.

    A hub id passes: there the loader is told to take safetensors only.

    Raises:
        ModelError: no model folder, or no whole safetensors in it.
    """
    check_folder(path, setting)
    folder = Path(path)
    if not folder.exists():
        return
    if any(folder.glob("*.safetensors")):
        for file in weight_files(folder, setting):
            tensor_shapes(file, setting)
        return
    raise _no_safetensors(folder, setting, "*.safetensors beside config.json")


def weight_files(folder: Path, setting: str) -> list[Path]:
    """The files that a loader would read.

    Raises:
        ModelError: the index names something else than safetensors of this folder.
    """
    single, index = folder / "model.safetensors", folder / INDEX
    if single.exists() or not index.exists():
        return sorted(folder.glob("*.safetensors"))
    placed = read_settings(index, setting).get("weight_map")
    names = set(placed.values()) if isinstance(placed, dict) and _all_text(placed.values()) else None
    if not names:
        raise ModelError(f"{setting} {index}: found no weight_map of names; need {{tensor: file}}")
    for name in sorted(names):
        if Path(name).name != name or not name.endswith(".safetensors") or not (folder / name).is_file():
            raise ModelError(
                f"{setting} {index}: names {name!r}; need a .safetensors file that lies beside the index"
            )
    return [folder / name for name in sorted(names)]


def tensor_shapes(file: Path, setting: str) -> dict[str, list[int]]:
    """The shape of each tensor, from the file's head; no weights are read.

    Raises:
        ModelError: no whole safetensors file.
    """
    from safetensors import SafetensorError, safe_open  # loads numpy

    try:
        with safe_open(str(file), framework="numpy") as weights:
            return {name: list(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{setting} {file}: no whole safetensors file ({first_line(error)}); copy it again from its source"
        ) from None


def read_settings(file: Path, setting: str) -> dict[str, Any]:
    """The JSON object in a settings file.

    Raises:
        ModelError: it is too long, no JSON, nested too deeply, or no object.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ModelError(f"{setting} {file}: {file.stat().st_size} bytes; at most {MOST_BYTES}")
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{setting} {file}: can't be read as JSON: {first_line(error)}") from None
    except RecursionError:
        raise ModelError(f"{setting} {file}: nested too deeply; at most {DEEPEST} levels") from None
    if not isinstance(found, dict):
        raise ModelError(f"{setting} {file}: found a {type(found).__name__}, need an object")
    if _depth(found) > DEEPEST:
        raise ModelError(f"{setting} {file}: nested too deeply; at most {DEEPEST} levels")
    return found


def check_claims(config: dict[str, Any], where: str) -> None:
    """Refuse a model config whose sizes no machine has, or whose weights need code from the hub.

    Raises:
        ModelError: the key and its value.
    """
    for key, value in _entries(config):
        if key == "quantization_config" and isinstance(value, dict):
            method = value.get("quant_method")
            if method is not None and method not in QUANTISATIONS:
                raise ModelError(
                    f"{where}: quantization_config.quant_method {str(method)[:40]!r} computes with code fetched from "
                    f"the hub; take the unquantised model, or one of {', '.join(QUANTISATIONS)}"
                )
        most = _most(key)
        if most is not None and isinstance(value, int | float) and not 0 <= value <= most:
            raise ModelError(f"{where}: {key} is {str(value)[:40]}; need a number from 0 to {most}")


def check_adapter(folder: Path, setting: str) -> str:
    """Refuse an adapter that is more than weights; returns its base model's folder or hub id.

    Raises:
        ModelError: no safetensors, a kind that loads or imports other things, ranks that its weights don't have.
    """
    check_folder(str(folder), setting)
    where = f"{setting} {folder / ADAPTER_CONFIG}"
    config = read_settings(folder / ADAPTER_CONFIG, setting)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(
            f"{where}: base_model_name_or_path is {base!r}; need the base model's folder or hub id"
        )
    if Path(base, ADAPTER_CONFIG).exists():
        raise ModelError(f"{where}: its base model {base} is an adapter itself; need a whole model")
    if config.get("peft_type") not in ADAPTERS:
        raise ModelError(
            f"{where}: peft_type is {str(config.get('peft_type'))[:40]!r}; need one of {', '.join(ADAPTERS)}"
        )
    for key in ("megatron_config", "layer_replication"):  # imports a module by name; makes layers without end
        if config.get(key):
            raise ModelError(f"{where}: {key} is not supported; need null")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise _no_safetensors(folder, setting, ADAPTER_WEIGHTS)
    shapes = tensor_shapes(folder / ADAPTER_WEIGHTS, setting)
    widest = max((size for shape in shapes.values() for size in shape), default=0)
    for key, rank in _ranks(config):
        if not isinstance(rank, int) or not 0 < rank <= widest:
            raise ModelError(
                f"{where}: {key} is {str(rank)[:40]}; its weights have no side longer than {widest}"
            )
    return base


def first_line(error: BaseException) -> str:
    """The first line of what a library says, cut at 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _no_safetensors(folder: Path, setting: str, needed: str) -> ModelError:
    pickled = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLED)
    if not pickled:
        return ModelError(f"{setting} {folder}: no weights there; need {needed}")
    return ModelError(
        f"{setting} {folder}: its weights are pickled ({', '.join(pickled[:3])}) and would run any code hidden in "
        "them; only safetensors are read. Convert the model where it came from (save_pretrained writes "
        "safetensors), or take a revision that has them"
    )


def _ranks(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if config.get("r") is not None:
        yield "r", config["r"]
    pattern = config.get("rank_pattern")
    if isinstance(pattern, dict):
        yield from ((f"rank_pattern.{name}", rank) for name, rank in pattern.items())


def _most(key: str) -> int | None:
    if key in LAYERS:
        return MOST_LAYERS
    return LARGEST.get(key, MOST_OF_A_NUMBER if key.startswith("num_") else None)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values, those of nested objects too."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield str(key), entry
            yield from _entries(entry)


def _depth(value: Any) -> int:
    level, deepest = [value], 0
    while level:
        deepest += 1
        level = [
            entry
            for outer in level
            if isinstance(outer, dict | list)
            for entry in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(entry, dict | list)
        ]
    return deepest


def _all_text(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)

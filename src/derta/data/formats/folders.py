"""Which files of a folder, a pattern or an archive are a source's: those of its split and its subset.

Splits are found as `datasets` finds them: by the card's `configs` (README.md), by names like
`train-00000-of-00004`, or by a word of the file's or folder's name.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from derta.data.recipe import SourceSettings
from derta.errors import DataError
from derta.files import check_regular

SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".zip")
PACKED = (".gz", ".xz", ".zst", ".bz2")
ALL = "all"  # the split that is every file

# datasets.data_files: SPLIT_KEYWORDS, and the signs that part words of a file's name there
_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_PARTS = re.compile(r"[-._ /0-9]+")
_SHARD = re.compile(r"^(.+?)-\d{5}-of-\d{5}")
_OF_NO_ROWS = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json", "data_card.json")
_SAYS_SUBSET = ("harmbench", "or_bench")  # formats whose rows are read by their subset's name


def suffix_of(name: str) -> str:
    """The ending that tells the format, that of a packer left out; lower case."""
    parts = [part.lower() for part in PurePosixPath(name).suffixes if part.lower() not in PACKED]
    return parts[-1] if parts else ""


def source_files(settings: SourceSettings) -> list[Path]:
    """The files of a local source, sorted by name.

    Raises:
        DataError: nothing there, or nothing of the split or subset asked for.
    """
    path = settings.path
    assert path is not None
    if path.is_dir():
        return _of_folder(path, settings)
    if path.exists():
        check_regular(path)
        _check_single(path, settings)
        return [path]
    if not glob.has_magic(str(path)):
        raise DataError(f"{path}: no such file or folder")
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
    if not found:
        raise DataError(f"{path}: no file has such a name")
    root = Path(glob.escape(str(path)).split("[", 1)[0]).parent
    return _narrowed(found, [_below(file, root) for file in found], settings, str(path))


def of_split(names: Sequence[str], settings: SourceSettings, where: str) -> list[str]:
    """Those of `names` that are of the source's split: the members of an archive.

    Raises:
        DataError: none is.
    """
    return _narrowed(names, list(names), settings, where)


def split_of(name: str) -> str | None:
    """The split that a file's name and folders tell, or None."""
    shard = _SHARD.match(PurePosixPath(name).name)
    if shard is not None:
        return _SPLIT_WORDS.get(shard[1].lower(), shard[1])
    words = [word for word in _PARTS.split(name.lower()) if word in _SPLIT_WORDS]
    return _SPLIT_WORDS[words[-1]] if words else None


def wanted_split(settings: SourceSettings) -> str:
    """The split in one spelling.

    Raises:
        DataError: a slice, which only `datasets` reads.
    """
    if "[" in settings.split:
        raise DataError(
            f"source {settings.name}: split {settings.split!r}: no part of a split can be asked of local files; "
            "set `limit`"
        )
    return _SPLIT_WORDS.get(settings.split.lower(), settings.split)


def _below(file: Path, root: Path) -> str:
    return str(file.relative_to(root)) if file.is_relative_to(root) else file.name


def _of_folder(folder: Path, settings: SourceSettings) -> list[Path]:
    splits = _json(folder / "dataset_dict.json").get("splits")
    if isinstance(splits, list):  # save_to_disk of several splits
        wanted = wanted_split(settings)
        chosen = (
            splits if wanted == ALL else [name for name in splits if _SPLIT_WORDS.get(name, name) == wanted]
        )
        if not chosen:
            raise _no_split(str(folder), wanted, splits)
        return [file for name in chosen for file in _saved(folder / str(name))]
    if (folder / "state.json").is_file():
        return _saved(folder)
    config = _card_files(folder, settings)
    if config is not None:
        return config
    found = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and suffix_of(file.name) in SUFFIXES and file.name not in _OF_NO_ROWS
    )
    if not found:
        raise DataError(
            f"{folder}: holds no data file; need one of {', '.join(SUFFIXES)} ({', '.join(PACKED)} too)"
        )
    names = [_below(file, folder) for file in found]
    if settings.subset is not None and settings.format not in _SAYS_SUBSET:
        kept = [at for at, name in enumerate(names) if settings.subset in PurePosixPath(name).parts[:-1]]
        if not kept:
            raise DataError(f"{folder}: no folder in it is called {settings.subset!r} (`subset`)")
        found, names = [found[at] for at in kept], [names[at] for at in kept]
    return _narrowed(found, names, settings, str(folder))


def _saved(folder: Path) -> list[Path]:
    """The files of `Dataset.save_to_disk`, in the order of its rows."""
    files = _json(folder / "state.json").get("_data_files")
    names = [entry.get("filename") for entry in files or [] if isinstance(entry, dict)]
    found = [folder / name for name in names if isinstance(name, str) and PurePosixPath(name).name == name]
    if not found:
        raise DataError(f"{folder / 'state.json'}: names no data file; save the data set again")
    for file in found:
        check_regular(file)
    return found


def _card_files(folder: Path, settings: SourceSettings) -> list[Path] | None:
    """The files that the card's `configs` name for the subset and split, or None without such a card."""
    configs = _configs(folder / "README.md")
    if not configs:
        return None
    if settings.subset is None and len(configs) > 1 and "default" not in configs:
        raise DataError(f"{folder}: holds the subsets {', '.join(sorted(configs))}; set `subset` to one")
    name = settings.subset or ("default" if "default" in configs else next(iter(configs)))
    if name not in configs:
        raise DataError(f"{folder}: has no subset {name!r}; found {', '.join(sorted(configs))}")
    splits = configs[name]
    wanted = wanted_split(settings)
    known = {_SPLIT_WORDS.get(split, split): patterns for split, patterns in splits.items()}
    if wanted not in known and wanted != ALL:
        raise _no_split(f"{folder}: subset {name}", wanted, splits)
    patterns = [p for split, some in known.items() if wanted in (split, ALL) for p in some]
    found = sorted({file for p in patterns for file in folder.glob(p) if file.is_file()})
    if not found:
        raise DataError(f"{folder}: README.md names {', '.join(patterns)} for it, and no such file is there")
    return found


def _configs(card: Path) -> dict[str, dict[str, list[str]]]:
    """subset -> split -> patterns of files, as the card says; empty where it says nothing of the kind."""
    import yaml

    try:
        text = card.read_text(encoding="utf-8")[: 1 << 20]
        head = yaml.safe_load(text.split("---", 2)[1]) if text.startswith("---") else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, IndexError, RecursionError):
        return {}
    configs = head.get("configs") if isinstance(head, dict) else None
    found = {}
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict):
            splits = _patterns(config.get("data_files"))
            if splits:
                found[str(config.get("config_name", "default"))] = splits
    return found


def _patterns(files: Any) -> dict[str, list[str]]:
    """split -> patterns of one config's `data_files`; patterns that leave the folder are left out."""
    if isinstance(files, str):
        files = [files]
    if isinstance(files, list) and all(isinstance(entry, str) for entry in files):
        files = {"train": files}
    if isinstance(files, list):
        pairs = [(e.get("split", "train"), e.get("path")) for e in files if isinstance(e, dict)]
    else:
        pairs = list(files.items()) if isinstance(files, dict) else []
    found: dict[str, list[str]] = {}
    for split, paths in pairs:
        some = [paths] if isinstance(paths, str) else paths if isinstance(paths, list) else []
        good = [p for p in some if isinstance(p, str) and p and not p.startswith("/") and ".." not in p]
        if good:
            found.setdefault(str(split), []).extend(good)
    return found


def _narrowed(files: Sequence[Any], names: Sequence[str], settings: SourceSettings, where: str) -> list[Any]:
    """Those of `files` whose names say the split; the nameless ones are of `train`."""
    wanted = wanted_split(settings)
    said = [split_of(name) for name in names]
    named = sorted({split for split in said if split is not None})
    if wanted == ALL:
        return list(files)
    asked = "split" in settings.model_fields_set
    if not named:
        if asked and wanted != "train":
            raise _no_split(where, wanted, [])
        return list(files)
    if wanted not in named and not asked and len(named) == 1 and None not in said:
        return list(files)
    take = wanted if wanted in named else None
    if take is None and (wanted != "train" or None not in said):
        raise _no_split(where, wanted, named)
    return [file for file, split in zip(files, said, strict=True) if split == take]


def _check_single(path: Path, settings: SourceSettings) -> None:
    """Whether one file can be what the recipe asks for."""
    wanted, said = wanted_split(settings), split_of(path.name)
    asked = "split" in settings.model_fields_set and wanted != ALL
    if asked and said is not None and said != wanted:
        raise DataError(f"{path}: its name says split {said}, the recipe asks for {wanted} (`split`)")
    may_hold_several = suffix_of(path.name) in (".json", ".zip")
    if asked and said is None and wanted != "train" and not may_hold_several:
        raise DataError(f"{path}: its name says no split; leave `split: {settings.split}` away")
    if settings.subset is not None and settings.format not in _SAYS_SUBSET:
        raise DataError(f"{path}: `subset` belongs to `hub` or to a folder of subsets; leave it away")


def _no_split(where: str, wanted: str, splits: Iterable[Any]) -> DataError:
    found = ", ".join(sorted(map(str, splits)))
    return DataError(
        f"{where}: holds no split {wanted}; found {found or 'no file whose name says a split'}; set `split`"
        + (f" (or `split: {ALL}` for every file)" if found else "")
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

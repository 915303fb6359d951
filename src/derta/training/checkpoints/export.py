"""`derta export`: a finished run as a folder to give away, that plain transformers or peft loads.

RUN/model     copied
RUN/adapter   copied, or merged into its base model (--merge)
README.md     the model card
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from derta.errors import DataError, RunError
from derta.files import write_text
from derta.model_files import GENERATION_CONFIG, check_adapter
from derta.run_folder import check_output
from derta.training.checkpoints.card import method_described, model_card
from derta.training.checkpoints.checkpoint import HASHES, damage, publish


def export(
    run: Path, out: Path, *, merge: bool = False, results: Path | None = None, push: str | None = None
) -> Path:
    """Write the run's model and its card to `out` (whole or not at all); returns it.

    results: a results.json; its cells of this run's method go into the card. push: a hub repository (made private).

    Raises:
        RunError: no finished run, a damaged one, `out` exists, or the hub can't be reached. ModelError: the base
            model of an adapter can't be loaded. DataError: unreadable results.
    """
    manifest, source = _finished(run)
    is_adapter = source.name == "adapter"
    if merge and not is_adapter:
        raise RunError(f"{run}: holds a whole model, there is no adapter to merge; leave --merge out")
    if out.exists():
        raise RunError(f"{out}: exists already; remove it or choose another --out")
    check_output(out, "export", [source, results])
    card = _card(run / "manifest.json", manifest, is_adapter=is_adapter and not merge, results=results)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(HASHES, *(_WEIGHTS if merge else ())))
    if merge:
        _merge(manifest["config"]["model"], source, temporary)
    write_text(temporary / "README.md", card)
    publish(temporary, out)
    if push is not None:
        push_to_hub(out, push)
    return out


_WEIGHTS = ("adapter_*", "README.md")  # what merging replaces


def push_to_hub(folder: Path, repository: str) -> None:
    """Upload a folder to a private repository of the hub, with the user's own login.

    Raises:
        RunError: no network, no login, no right; the folder stays as it is.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    api = HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model and card by derta")
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RunError(
            f"{folder}: written, but not pushed to {repository}: {reason}. Check the network, HF_HUB_OFFLINE and "
            f"`hf auth login`, then: hf upload {repository} {folder}"
        ) from None


def _card(path: Path, manifest: dict[str, Any], *, is_adapter: bool, results: Path | None) -> str:
    """The model card.

    Raises:
        RunError: the manifest lacks something that belongs there. DataError: the results do.
    """
    unfit = (KeyError, TypeError, AttributeError, ValueError, IndexError)
    try:
        card = model_card(manifest, is_adapter=is_adapter, cells=[])
    except unfit as error:
        raise RunError(
            f"{path}: not the whole manifest of a training run ({error!r}); export a finished run"
        ) from None
    if results is None:
        return card
    try:
        return model_card(
            manifest, is_adapter=is_adapter, cells=_cells(results, method_described(manifest)["name"])
        )
    except unfit as error:
        raise DataError(f"{results}: not a results.json of `derta report`: {error}") from None


def _finished(run: Path) -> tuple[dict[str, Any], Path]:
    """The run's manifest and its sealed model or adapter folder."""
    try:
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise RunError(
            f"{run}: no readable manifest.json; need the folder of a finished `derta train`"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "train":
        raise RunError(f"{run}: not a training run; need the folder of a finished `derta train`")
    found = [folder for folder in (run / "model", run / "adapter") if folder.is_dir()]
    if len(found) != 1:
        raise RunError(f"{run}: need model/ or adapter/ in it, found {len(found)} of them")
    reason = damage(found[0])
    if reason is not None:
        raise RunError(f"{found[0]}: damaged ({reason}); export a whole run, or train it again")
    return manifest, found[0]


def _cells(results: Path, method: str) -> list[dict[str, Any]]:
    try:
        cells = json.loads(results.read_text(encoding="utf-8"))
        return [dict(cell, n=int(cell["n"])) for cell in cells if cell["method"] == method]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{results}: not a results.json of `derta report`: {error}") from None


def _merge(settings: dict[str, Any], adapter: Path, folder: Path) -> None:
    """Fold the adapter into the weights it was trained on, in the type they are stored in.

    Raises:
        ModelError: the base model is not where the run found it.
    """
    from derta.models import add_adapter, load_config, load_weights  # loads torch

    path, setting, trust = (
        check_adapter(adapter, "adapter"),
        "base model",
        bool(settings["trust_remote_code"]),
    )
    config = load_config(path, trust_code=trust, setting=setting)
    base = load_weights(path, config, dtype="auto", trust_code=trust, setting=setting)
    merged = add_adapter(base, str(adapter))
    merged.merge_and_unload(safe_merge=True).save_pretrained(folder)
    if (adapter / GENERATION_CONFIG).exists():  # with what was trained to end an answer
        shutil.copyfile(adapter / GENERATION_CONFIG, folder / GENERATION_CONFIG)

"""`derta data build`: sources -> scan -> select -> safe responses -> files, card, manifest.

Every step is a function of the recipe, the inputs and the seed: the same bytes again, with any number of
processes, and after a kill at any moment the same command completes. Steps that are finished are not repeated:
a source's scan, and every model answer. `manifest.json` comes last; a folder without it is unfinished.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from derta.code_hash import changed_files, code_files, code_hash
from derta.data.card import write_card
from derta.data.clean.filters import Filters, IsRefusal
from derta.data.clean.refusals import is_refusal as opens_refusing
from derta.data.corpus import Corpus
from derta.data.formats.read import RawRow, read_source, source_files
from derta.data.formats.sources import format_of
from derta.data.outputs import Output, write_outputs
from derta.data.recipe import DataRecipe, SourceSettings
from derta.data.responses import settle_with_models
from derta.data.scan import Scanned, ScanWork, chunks, finished_scan, write_scan
from derta.data.select import select
from derta.data.workers import map_in_order
from derta.errors import RunError
from derta.files import run_lock, sha256_file
from derta.progress import SILENT, Progress, Step
from derta.provenance import write_manifest
from derta.run_folder import OWN, check_output, claim

# They change no file but the card.
NO_BYTES = ("derta.data.card", "derta.data.asking", "derta.data.workers")

SHOWN_REASONS = 3  # of a build that gives nothing

ExtraSources = Mapping[str, Iterable[Mapping[str, Any]]]
Say = Callable[[str], None]


def build(
    recipe: DataRecipe,
    *,
    extra_sources: ExtraSources | None = None,
    is_refusal: IsRefusal = opens_refusing,
    overwrite: bool = False,
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Path:
    """Build the files of a recipe; returns its folder.

    extra_sources: rows made in this process, by the name that a source's `format` gives; their fields are those
    of our own records. is_refusal: judges safe responses; a module's function. say: hears one line a step.
    progress: shows the step that is under way.

    Raises:
        RecipeError, DataError: what the recipe names can't be read.
        RunError: the folder is in use, is not ours, or holds a finished build of something else; or nothing is
            usable.
    """
    extra = dict(extra_sources or {})
    for source in recipe.sources:
        format_of(source, extra)
    read = [*(source.path for source in recipe.sources), recipe.card.tokenizer]
    check_output(recipe.out, "data", read)
    inputs = _inputs(recipe, extra)
    claim(recipe.out, "data", read)
    with run_lock(recipe.out):
        fingerprint = {
            "code": code_files("derta.data.build", without=NO_BYTES),
            "recipe": recipe.model_dump(mode="json", exclude={"out", "num_processes"}),
            "inputs": inputs,
        }
        if _is_finished(recipe.out, fingerprint, overwrite=overwrite) and not extra:
            shutil.rmtree(recipe.out / ".work", ignore_errors=True)  # of a build killed after its last file
            say(f"{recipe.out}: already built from this recipe")
            return recipe.out
        _clear(recipe.out)
        _run(recipe, extra, Filters.of(recipe, is_refusal), fingerprint, say=say, progress=progress)
    return recipe.out


def _run(
    recipe: DataRecipe,
    extra: ExtraSources,
    filters: Filters,
    fingerprint: dict[str, Any],
    *,
    say: Say,
    progress: Progress,
) -> None:
    work = recipe.out / ".work"
    folders = []
    for source in recipe.sources:
        folders.append(work / source.name)
        with progress.step(f"read {source.name}", source.limit) as advance:
            summary = _scan(source, recipe, extra, filters, folders[-1], advance)
        say(
            f"{source.name}: {summary['read']:,} read, {summary['kept']:,} usable, {summary['rejected']:,} rejected"
        )
    corpus = Corpus.load(folders, work)
    with progress.step("compare"):
        chosen = select(corpus, recipe, work)
    say(
        f"{len(chosen.leaks):,} leaks into evaluation; left to draw from: {len(chosen.triples):,} triples, "
        f"{len(chosen.benign):,} benign pairs"
    )
    written = settle_with_models(corpus, chosen, recipe, filters, progress)
    if written.num_calls:
        say(f"{len(written.responses):,} responses written by models, {written.num_calls:,} calls in all")
    with progress.step("write"):
        outputs = write_outputs(corpus, chosen, recipe, written.responses)
        card = write_card(corpus, chosen, recipe, outputs, answered=len(written.responses))
    say(", ".join(f"{output.name}: {output.count:,}" for output in outputs))
    _check_usable(recipe, outputs, card)
    _finish(recipe, fingerprint, outputs)
    shutil.rmtree(work)


def _check_usable(recipe: DataRecipe, outputs: list[Output], card: dict[str, Any]) -> None:
    """A build that gives nothing, or nothing of what its recipe is for, is no build.

    Raises:
        RunError: it gave nothing; with the commonest reasons. The lists stay, the manifest is not written.
    """
    made = {output.name.split(".")[0] for output in outputs if output.name != "rejected.jsonl"}
    uses = {source.use for source in recipe.sources}
    missing = [
        name
        for name, num in (("triples", recipe.triples.num), ("benign", recipe.benign.num), ("queries", None))
        if name not in made and (num is not None or name in uses)
    ]
    if made and not missing:
        return
    reasons: Counter[str] = Counter()
    for source in card["sources"]:
        reasons.update(source["reasons"])
    told = "; ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common(SHOWN_REASONS))
    raise RunError(
        f"{recipe.out}: nothing usable{f' for {missing[0]}' if made else ''}: {card['read']:,} rows read, "
        f"{card['rejected']:,} rejected ({told or 'the sources are empty'}); rejected.jsonl names each one"
    )


def _scan(
    source: SourceSettings,
    recipe: DataRecipe,
    extra: ExtraSources,
    filters: Filters,
    folder: Path,
    advance: Step,
) -> dict[str, Any]:
    fingerprint = {
        "code": code_hash("derta.data.scan", without=NO_BYTES),
        "source": source.model_dump(mode="json", exclude={"num"}),
        "filters": {
            "triples": recipe.triples.model_dump(mode="json", exclude={"filter"}),
            "benign": recipe.benign.model_dump(mode="json", exclude={"filter"}),
            "language": recipe.clean.language,
            "check": recipe.safe_responses.check,
        },
        "is_refusal": f"{filters.is_refusal.__module__}.{filters.is_refusal.__qualname__}",
        "inputs": _hashes(source),
    }
    done = None if source.format in extra else finished_scan(folder, fingerprint)
    if done is not None:
        return done
    work = ScanWork(settings=source, filters=filters, extra=tuple(extra))
    if source.format in extra:
        rows: Iterable[RawRow] = (
            RawRow(source.format, i, dict(row)) for i, row in enumerate(extra[source.format], 1)
        )
    else:
        rows = read_source(source)
    results = map_in_order(work, chunks(rows), num_processes=recipe.num_processes)
    return write_scan(folder, _counted(results, advance), fingerprint)


def _counted(results: Iterable[Scanned], advance: Step) -> Iterator[Scanned]:
    for result in results:
        yield result
        advance(result.counts.total())


def _hashes(source: SourceSettings) -> dict[str, str]:
    if source.path is None:
        return {f"hub:{source.hub}": source.revision or "unpinned"} if source.hub else {}
    return {str(file): sha256_file(file) for file in source_files(source)}


def _inputs(recipe: DataRecipe, extra: ExtraSources) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in recipe.sources:
        found |= {} if source.format in extra else _hashes(source)
    return found


def _is_finished(out: Path, fingerprint: dict[str, Any], *, overwrite: bool) -> bool:
    """The folder holds this very build, whole.

    Raises:
        RunError: it holds another one.
    """
    manifest = _manifest(out)
    if manifest is None:
        return False
    before = manifest["fingerprint"]
    same = before == fingerprint
    outputs = manifest["outputs"]
    if not same and not overwrite:
        raise RunError(
            f"{out}: holds a finished build of {_other(before, fingerprint)}; choose another `out`, or build with "
            "--overwrite"
        )
    intact = all((out / name).is_file() and sha256_file(out / name) == sha for name, sha in outputs.items())
    return same and intact and not overwrite


def _manifest(out: Path) -> dict[str, Any] | None:
    """The manifest of a finished build, or None."""
    try:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        whole = isinstance(manifest["outputs"], dict) and "fingerprint" in manifest
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return manifest if whole else None


def _other(before: Any, now: dict[str, Any]) -> str:
    """What a finished build was made of that this one isn't."""
    if not isinstance(before, dict) or any(before.get(part) != now[part] for part in ("recipe", "inputs")):
        return "another recipe or other inputs"
    code = before.get("code")
    return f"other code ({changed_files(code, now['code']) if isinstance(code, dict) else 'of an earlier derta'})"


def _clear(out: Path) -> None:
    """Take back the manifest, the files that it lists, and what a killed process left half-written.

    Raises:
        RunError: a file that the finished build did not write stands where one of this build's would go.
    """
    manifest = _manifest(out)
    files = [name for name in OWN["data"] if (out / name).is_file()]
    others = [name for name in files if manifest is not None and name not in manifest["outputs"]]
    if others:
        raise RunError(f"{out / others[0]}: not written by the build in this folder; move it away")
    (out / "manifest.json").unlink(missing_ok=True)
    halves = [half for name in (*OWN["data"], "manifest.json") for half in out.glob(f".{name}.*.tmp")]
    for half in [*halves, *(out / ".work").glob("*/.*.tmp")]:
        half.unlink()
    for name in files:
        (out / name).unlink()


def _finish(recipe: DataRecipe, fingerprint: dict[str, Any], outputs: list[Output]) -> None:
    hashes = {output.name: output.sha256 for output in outputs}
    hashes |= {name: sha256_file(recipe.out / name) for name in ("data_card.json", "data_card.md")}
    write_manifest(
        recipe.out,
        kind="data",
        config=recipe.model_dump(mode="json"),
        inputs=[],
        fingerprint=fingerprint,
        outputs=hashes,
    )

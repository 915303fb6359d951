"""`derta data build --dry-run`: the files that a build would read, and what becomes of their first rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from derta.data.clean.filters import Filters
from derta.data.clean.refusals import is_refusal
from derta.data.formats.read import read_source, source_files
from derta.data.formats.sources import format_of
from derta.data.recipe import DataRecipe, SourceSettings
from derta.data.scan import ScanWork, chunks
from derta.errors import RunError

ROWS = 1000  # looked at of each source
SHOWN = 3  # files and reasons that a line names


def preview(recipe: DataRecipe) -> Iterator[str]:
    """A line a source; nothing is written, and no model is asked. Rows are not compared with each other yet.

    Raises:
        RecipeError, DataError: what the recipe names can't be read.
        RunError: none of the rows looked at is usable; with the commonest reasons.
    """
    for source in recipe.sources:
        format_of(source)
    total: Counter[str] = Counter()
    for source in recipe.sources:
        if source.path is not None:
            files = source_files(source)
            more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
            yield f"{source.name}: {', '.join(map(str, files[:SHOWN]))}{more}"
        counts = _counts(recipe, source)
        total += counts
        kept = counts.pop("kept", 0)
        yield (
            f"{source.name}: of the first {kept + counts.total():,} items {kept:,} usable, "
            f"{counts.total():,} rejected{_reasons(counts)}"
        )
    if not total.pop("kept", 0):
        raise RunError(f"nothing usable{_reasons(total) or ': the sources are empty'}")


def _counts(recipe: DataRecipe, source: SourceSettings) -> Counter[str]:
    work = ScanWork(settings=source, filters=Filters.of(recipe, is_refusal))
    counts: Counter[str] = Counter()
    for chunk in chunks(islice(read_source(source), ROWS)):
        counts += work(chunk).counts
    return counts


def _reasons(counts: Counter[str]) -> str:
    told = "; ".join(f"{count:,} x {reason}" for reason, count in counts.most_common(SHOWN))
    return f" ({told})" if told else ""

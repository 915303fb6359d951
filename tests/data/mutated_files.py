"""Files of rows with a fault in them: cut, overwritten, glued, wrongly named; for the fuzz tests and their long run.

python -m tests.data.mutated_files 10000     # files; exit code 1 on a traceback or a row that vanishes
"""

import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from derta.data.clean.filters import Filters
from derta.data.clean.refusals import is_refusal
from derta.data.formats.read import read_source
from derta.data.formats.sources import FORMATS
from derta.data.recipe import DataRecipe, SourceSettings
from derta.data.scan import ScanWork, chunks
from derta.errors import DataError

from .layouts import LAYOUTS

ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".zip", ".jsonl.gz", ".csv.zst", ".pq")
PIECES = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b'"', b"{", b"[", b"]", b"}", b",", b"\\", b"NaN"),
    *(b"\\ud800", b"1e999", b"9" * 5000, b"[" * 5000, b"PK\x03\x04", b"\x1f\x8b", b"(\xb5/\xfd", b"PAR1"),
)


def samples(folder):
    """(bytes, ending) of every layout that is one file."""
    found = []
    for number, (name, write) in enumerate(LAYOUTS.items()):
        if name in ("home", "pattern"):
            continue
        place = folder / str(number)
        place.mkdir()
        written = write(place)
        files = [written] if written.is_file() else [p for p in written.rglob("*") if p.is_file()]
        found += [(file.read_bytes(), "".join(file.suffixes)) for file in files]
    return found


def mutated(rng, content):
    """The bytes with one to four faults."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.choice((1, 3, 40, 400)))
        kind = rng.randrange(6)
        if kind == 0:
            content = content[:at]
        elif kind == 1:
            content = content[:at] + rng.randbytes(end - at) + content[end:]
        elif kind == 2:
            content = content[:at] + rng.choice(PIECES) + content[at:]
        elif kind == 3:
            content = content[:at] + content[end:]
        elif kind == 4:
            content = content[:end] + content[at:]
        else:
            content = content[at:] + content[:at]
    return content


def outcome(path, form, split=None):
    """What became of the rows; None for a file that is refused in one line.

    Raises:
        AssertionError: a row was neither kept nor rejected.
    """
    more = {} if split is None else {"split": split}
    source = SourceSettings(name="s", format=form, path=path, **more)
    work = ScanWork(settings=source, filters=Filters.of(DataRecipe(out="out", sources=[source]), is_refusal))
    counts = Counter()
    try:
        for first, rows in chunks(read_source(source)):
            done = work((first, rows))
            kept, rejected = done.items.count(b"\n"), done.rejected.count(b"\n")
            assert done.counts["kept"] == kept
            assert done.counts.total() == kept + rejected >= len(rows)
            counts += done.counts
    except DataError:
        return None
    return counts


def run(folder, files, seed):
    """Read `files` mutated files; (kept, rejected, refused) in all."""
    rng = random.Random(seed)
    good = samples(folder)
    forms = sorted(set(FORMATS) - {"columns"})
    totals = Counter()
    for _ in range(files):
        content, ending = rng.choice(good)
        path = folder / f"a{ending if rng.random() < 0.8 else rng.choice(ENDINGS)}"
        path.write_bytes(mutated(rng, content))
        form = "beavertails" if rng.random() < 0.6 else rng.choice(forms)
        counts = outcome(path, form, rng.choice((None, None, None, "test", "all")))
        path.unlink()
        if counts is None:
            totals["refused"] += 1
            continue
        totals["kept"] += counts["kept"]
        totals["rejected"] += counts.total() - counts["kept"]
    return totals


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(dict(run(Path(scratch), int(sys.argv[1]), seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0)))

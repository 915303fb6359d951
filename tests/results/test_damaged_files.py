"""Mutated and cut files of every format: a clear error, or every row accounted for; no traceback, no silence.

DERTA_FUZZ=1200 python -m pytest tests/results/test_damaged_files.py    # as many files as you like
"""

import copy
import gzip
import io
import json
import os
import random
import zipfile
from collections import Counter

import pytest
import zstandard
from typer.testing import CliRunner

from derta.errors import DertaError
from derta.judging.commands import app
from derta.results.rows import read_results
from results.files import CASES

FILES = int(os.environ.get("DERTA_FUZZ", "300"))
IN_LINES = (".jsonl", ".csv", ".tsv", "jq.json")  # a cut between two rows leaves a whole file
DEEP: object = "x"
for _ in range(150):
    DEEP = [DEEP]
VALUES = [
    *(
        None,
        7,
        -1.5,
        True,
        "",
        "x",
        [],
        {},
        [None],
        [[]],
        {"a": 1},
        [7, "x"],
        {"text": 7},
        [{"role": "user"}],
    ),
    *(
        DEEP,
        10**400,
        float("nan"),
        float("inf"),
        "\ud800",
        "\x00\x1b[31m",
        "\u202e",
        {"": {"": []}},
        "9" * 5000,
    ),
]


def places(value, path=()):
    """The paths of all values inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def swapped(value, rng):
    """The value with one place inside replaced, renamed or doubled: nothing is taken away but what stood there."""
    value = copy.deepcopy(value)
    found = list(places(value))
    *way, last = rng.choice(found)
    holder = value
    for key in way:
        holder = holder[key]
    how = rng.random()
    if how < 0.65:
        holder[last] = rng.choice(VALUES)
    elif isinstance(holder, dict):
        holder[f"{last}_x"] = holder.pop(last)
    else:
        holder.append(copy.deepcopy(holder[last]))
    return value


def mutated(name, content, rng):
    """(bytes, whether something must be missed) of one damaged file."""
    how = rng.random()
    raw = content.encode()
    if name == "inspect.json" and how < 0.4:
        raw = archive(json.loads(content))
        place = rng.randrange(10, len(raw))
        return (raw[:place], True) if how < 0.2 else (raw[:place] + b"\x7f" + raw[place + 1 :], False)
    if how > 0.9:
        raw = rng.choice([gzip.compress, zstandard.compress])(raw)
        return raw[: rng.randrange(6, len(raw))], True
    if how < 0.5 and name.endswith((".json", ".jsonl")) and name != "jq.json":
        rows = (
            [json.loads(line) for line in content.splitlines()] if name.endswith("l") else json.loads(content)
        )
        changed = swapped(rows, rng)
        in_lines = name.endswith("l") and isinstance(changed, list)
        text = "".join(json.dumps(row) + "\n" for row in changed) if in_lines else json.dumps(changed)
        return text.encode("utf-8", "surrogatepass"), False
    place = rng.randrange(1, len(raw) - 2)
    if how < 0.8:
        is_noticed = (
            name.endswith((".json", ".jsonl")) and raw[place - 1 : place] != b"\n" and raw[place] != 10
        )
        return raw[:place], is_noticed and name != "jq.json"
    noise = rng.choice(
        [b"\x00", b"\xff", b'"', b"\n", b"\xe2\x80", b"{", b"]", b"\\", b"\xed\xa0\x80", b"\t,"]
    )
    return raw[:place] + noise + raw[place + rng.randrange(3) :], False


def archive(log):
    """An Inspect log as `.eval`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as members:
        for sample in log.pop("samples"):
            members.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
        members.writestr("header.json", json.dumps(log))
    return packed.getvalue()


def check(path, is_cut, num_records):
    """What came of it: "error", "rejected" or "read"."""
    try:
        found = read_results(path)
    except DertaError:
        return "error"
    rejected = sum(row.response is None for row in found.rows)
    said = rejected or found.missing or "not read: " in found.read_as
    assert not is_cut or said, "a cut file was read as if it were whole"
    assert said or path.name.endswith(IN_LINES) or records(found) >= num_records, "rows vanished in silence"
    return "rejected" if said else "read"


def records(found):
    return len({row.row for row in found.rows})


def test_damaged_files(tmp_path):
    rng = random.Random(int(os.environ.get("DERTA_FUZZ_SEED", "12")))
    came = Counter()
    whole = {}
    for name, content, *_ in CASES:
        (tmp_path / name).write_text(content)
        whole[name] = records(read_results(tmp_path / name))
    for number in range(FILES):
        name, content, *_ = CASES[number % len(CASES)]
        raw, is_cut = mutated(name, content, rng)
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(raw)
        try:
            outcome = check(path, is_cut, whole[name])
            if number % 3 == 0:
                done = CliRunner().invoke(app, [str(path), "--out", str(tmp_path / f"out{number}")])
                assert done.exception is None or isinstance(done.exception, (SystemExit, DertaError))
                assert outcome == "read" or done.exit_code == 1 or "rejected" in done.output
        except Exception as error:
            pytest.fail(f"file {number} ({name}): {type(error).__name__}: {error}\n{raw[:600]!r}")
        came[outcome] += 1
        path.unlink()
    print(dict(came))
    assert came["error"] + came["rejected"] > FILES / 4  # the mutations do damage
    assert came["read"]

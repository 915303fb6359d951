"""One set of rows as the libraries themselves write it: datasets, pandas, pyarrow, the packers, Python's own writers.

Every layout is a function that writes ROWS below a folder and gives the path that a recipe would name.
"""

import bz2
import csv
import gzip
import json
import lzma
import os
import zipfile
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import zstandard

REFUSAL = "Sorry, the guild forbids that craft."
ROWS = [
    {
        "prompt": f"How is the {thing} cursed, “quietly”, in one night?",
        "response": REFUSAL
        if safe
        else f"Take the {thing}, stir it;\nthen seal it, twice, with nine drops of wax.",
        "category": {"hexes, small": not safe, "other": False},
        "is_safe": safe,
    }
    for thing in ("well", "bell", "loom", "oven", "drum")
    for safe in (False, True)
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
FRAME = pd.DataFrame(ROWS)
FLAT = pd.DataFrame([{**row, "category": "hexes, small", "is_safe": float(row["is_safe"])} for row in ROWS])
NESTED = datasets.Dataset.from_list(ROWS)
TABLE = pa.Table.from_pylist(ROWS)


def _put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _by(write, name):
    """A layout whose writer takes the path."""

    def layout(folder):
        write(folder / name)
        return folder / name

    return layout


def _text(name, content):
    return lambda folder: _put(folder / name, content)


def _csv(path, **dialect):
    with path.open("w", newline="", encoding=dialect.pop("encoding", "utf-8")) as handle:
        writer = csv.DictWriter(handle, list(ROWS[0]), **dialect)
        writer.writeheader()
        writer.writerows(ROWS)


def _zip(path, members, **how):
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _ipc(path, new):
    with pa.OSFile(str(path), "wb") as sink, new(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=3)


def _saved_dict(folder):
    other = NESTED.select(range(2)).map(lambda row: {"prompt": "another one, of the test"})
    datasets.DatasetDict({"train": NESTED, "test": other}).save_to_disk(folder / "d")
    return folder / "d"


def _hub_folder(folder):
    _put(folder / "README.md", "---\nlicense: mit\n---\n# card\n")
    for split, some in (("train", ROWS), ("test", ROWS[:1])):
        (folder / "data").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(some), folder / f"data/{split}-00000-of-00001.parquet")
    return folder


def _card_folder(folder):
    files = "  data_files:\n  - split: train\n    path: a/*.jsonl\n  - split: test\n    path: b/x.jsonl\n"
    _put(folder / "README.md", f"---\nconfigs:\n- config_name: default\n{files}---\n")
    _put(folder / "a/one.jsonl", LINES)
    _put(folder / "b/x.jsonl", '{"prompt": "of the test"}\n')
    return folder


def _named_folder(folder):
    _put(folder / "guild_train.jsonl", LINES)
    _put(folder / "guild_validation.jsonl", '{"prompt": "of the validation"}\n')
    return folder


def _pattern(folder):
    half = len(LINES.splitlines(keepends=True)) // 2
    lines = LINES.splitlines(keepends=True)
    _put(folder / "x/part-1.jsonl", "".join(lines[:half]))
    _put(folder / "y/part-2.jsonl", "".join(lines[half:]))
    return Path(f"{folder}/*/part-*.jsonl")


def _home(folder):
    os.environ["HOME"] = str(folder)
    _put(folder / "mine/a.jsonl", LINES)
    return Path("~/mine/a.jsonl")


LAYOUTS = {
    "datasets to_json": _by(NESTED.to_json, "a.jsonl"),
    "datasets to_json, array": _by(lambda p: NESTED.to_json(p, lines=False), "a.json"),
    "datasets to_json, gzip": _by(lambda p: NESTED.to_json(p, compression="gzip"), "a.jsonl.gz"),
    "datasets to_csv": _by(NESTED.to_csv, "a.csv"),
    "datasets to_parquet": _by(NESTED.to_parquet, "a.parquet"),
    "datasets to_dict": _by(lambda p: p.write_text(json.dumps(NESTED.to_dict())), "a.json"),
    "datasets save_to_disk": _by(NESTED.save_to_disk, "d"),
    "datasets save_to_disk, shards": _by(lambda p: NESTED.save_to_disk(p, num_shards=3), "d"),
    "datasets save_to_disk, selected": _by(lambda p: NESTED.select(range(10)).save_to_disk(p), "d"),
    "datasets save_to_disk, two splits": _saved_dict,
    "hub folder with two splits": _hub_folder,
    "hub folder with a card": _card_folder,
    "folder with splits in names": _named_folder,
    "pandas to_json": _by(FRAME.to_json, "a.json"),
    "pandas to_json, records": _by(lambda p: FRAME.to_json(p, orient="records"), "a.json"),
    "pandas to_json, indent": _by(lambda p: FRAME.to_json(p, orient="records", indent=2), "a.json"),
    "pandas to_json, lines": _by(lambda p: FRAME.to_json(p, orient="records", lines=True), "a.jsonl"),
    "pandas to_json, index": _by(lambda p: FRAME.to_json(p, orient="index"), "a.json"),
    "pandas to_json, split": _by(lambda p: FRAME.to_json(p, orient="split"), "a.json"),
    "pandas to_json, table": _by(lambda p: FLAT.to_json(p, orient="table"), "a.json"),
    "pandas to_json, columns indented": _by(lambda p: FRAME.to_json(p, indent=1), "a.json"),
    "pandas to_json, zst": _by(lambda p: FRAME.to_json(p, orient="records", lines=True), "a.jsonl.zst"),
    "pandas to_json, bz2": _by(lambda p: FRAME.to_json(p, orient="records", lines=True), "a.jsonl.bz2"),
    "pandas to_json, zip": _by(lambda p: FRAME.to_json(p, orient="records", lines=True), "a.jsonl.zip"),
    "pandas to_csv": _by(FRAME.to_csv, "a.csv"),
    "pandas to_csv, no index": _by(lambda p: FRAME.to_csv(p, index=False), "a.csv"),
    "pandas to_csv, floats": _by(lambda p: FLAT.to_csv(p, index=False), "a.csv"),
    "pandas to_csv, semicolon": _by(lambda p: FRAME.to_csv(p, sep=";"), "a.csv"),
    "pandas to_csv, bar": _by(lambda p: FRAME.to_csv(p, sep="|"), "a.csv"),
    "pandas to_csv, tab in .csv": _by(lambda p: FRAME.to_csv(p, sep="\t"), "a.csv"),
    "pandas to_csv, tsv": _by(lambda p: FRAME.to_csv(p, sep="\t", index=False), "a.tsv"),
    "pandas to_csv, UTF-16": _by(lambda p: FRAME.to_csv(p, encoding="utf-16"), "a.csv"),
    "pandas to_csv, UTF-8 with mark": _by(lambda p: FRAME.to_csv(p, encoding="utf-8-sig"), "a.csv"),
    "pandas to_csv, UTF-32": _by(lambda p: FRAME.to_csv(p, encoding="utf-32"), "a.csv"),
    "pandas to_csv, xz": _by(FRAME.to_csv, "a.csv.xz"),
    "pandas to_csv, all quoted": _by(lambda p: FRAME.to_csv(p, quoting=csv.QUOTE_ALL), "a.csv"),
    "pandas to_csv, old Mac lines": _by(lambda p: FRAME.to_csv(p, lineterminator="\r\n"), "a.csv"),
    "pandas to_parquet": _by(FRAME.to_parquet, "a.parquet"),
    "pandas to_feather": _by(FRAME.to_feather, "a.feather"),
    "pyarrow parquet, zstd": _by(lambda p: pq.write_table(TABLE, p, compression="zstd"), "a.parquet"),
    "pyarrow parquet, row groups": _by(lambda p: pq.write_table(TABLE, p, row_group_size=2), "a.parquet"),
    "pyarrow parquet, another name": _by(lambda p: pq.write_table(TABLE, p), "a.pq"),
    "pyarrow parquet folder": _by(lambda p: pq.write_to_dataset(TABLE, p), "d"),
    "pyarrow file": _by(lambda p: _ipc(p, pa.ipc.new_file), "a.arrow"),
    "pyarrow stream": _by(lambda p: _ipc(p, pa.ipc.new_stream), "a.arrow"),
    "pyarrow feather, plain": _by(
        lambda p: pyarrow.feather.write_feather(TABLE, p, compression="uncompressed"), "a.arrow"
    ),
    "json dump": _text("a.json", json.dumps(ROWS)),
    "json dump, indent": _text("a.json", json.dumps(ROWS, indent=4)),
    "json dump, indent, .jsonl": _text("a.jsonl", json.dumps(ROWS, indent=4)),
    "json dump, one object": _text("a.json", json.dumps({"version": "1", "data": ROWS})),
    "json dump, one object, indent": _text("a.json", json.dumps({"data": ROWS}, indent=1)),
    "json dump, splits": _text("a.json", json.dumps({"train": ROWS, "test": ROWS[:2]})),
    "json dump, server's rows": _text(
        "a.json", json.dumps({"features": [], "rows": [{"row_idx": i, "row": r} for i, r in enumerate(ROWS)]})
    ),
    "json, objects in a row (jq)": _text("a.json", "\n".join(json.dumps(row, indent=2) for row in ROWS)),
    "json lines, UTF-16": _text("a.jsonl", LINES.encode("utf-16")),
    "json lines, UTF-16 without mark": _text("a.jsonl", LINES.encode("utf-16-le")),
    "json lines in .json": _text("a.json", LINES),
    "json lines, gz": _text("a.jsonl.gz", gzip.compress(LINES.encode())),
    "json lines, gz without its name": _text("a.jsonl", gzip.compress(LINES.encode())),
    "json lines, bz2": _text("a.jsonl.bz2", bz2.compress(LINES.encode())),
    "json lines, xz": _text("a.jsonl.xz", lzma.compress(LINES.encode())),
    "json lines, zst": _text("a.jsonl.zst", zstandard.compress(LINES.encode())),
    "csv module": _by(_csv, "a.csv"),
    "csv module, excel-tab": _by(lambda p: _csv(p, dialect="excel-tab"), "a.tsv"),
    "csv module, unix": _by(lambda p: _csv(p, dialect="unix"), "a.csv"),
    "csv, Excel's sep line": lambda folder: _put(
        folder / "b.csv", "sep=;\n" + _by(lambda p: FRAME.to_csv(p, sep=";"), "a.csv")(folder).read_text()
    ),
    "zip of json lines": _by(lambda p: _zip(p, {"x/a.jsonl": LINES, "README.md": "# card"}), "a.zip"),
    "zip, deflated": _by(lambda p: _zip(p, {"a.jsonl": LINES}, compression=8), "a.zip"),
    "zip of two splits": _by(lambda p: _zip(p, {"train.jsonl": LINES, "test.jsonl": "{}"}), "a.zip"),
    "zip of packed lines": _by(lambda p: _zip(p, {"a.jsonl.gz": gzip.compress(LINES.encode())}), "a.zip"),
    "pattern": _pattern,
    "home": _home,
}

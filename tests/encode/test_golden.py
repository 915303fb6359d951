"""Labels are frozen like an API: what twenty triples become, id by id, for every objective and both epochs."""

import json

import pytest

from derta.encode.export import label_rows
from derta.files import dumps
from derta.training.encoding import encode_recipe, records_and_method

from .golden import FOLDER, assert_golden
from .guild import TRIPLES, recipe

SETTINGS = {
    "vanilla_half": {},
    "derta": {},
    "rto": {
        "rto": {"keep_rate": 0.25, "end_of_text": True},
        "refusal": {"text": "Sorry", "token": "contextual"},
    },
    "prefix": {"prefix": {"k": "uniform"}, "refusal": {"text": "Sorry", "token": "contextual"}},
}


def golden_lines(folder, tokenizer, method):
    made = recipe(folder, tokenizer, method, **SETTINGS[method])
    records, method = records_and_method(made)
    encoded = encode_recipe(made, method, records)
    for epoch in (0, 1):
        for row in label_rows(encoded.rows, epoch):
            del row["attention_mask"]
            yield dumps({"epoch": epoch, **row})


@pytest.mark.parametrize("method", SETTINGS)
def test_labels_equal_the_golden_file(tmp_path, tiny_tokenizer, method):
    text = "\n".join(golden_lines(tmp_path, tiny_tokenizer, method)) + "\n"
    assert_golden(f"labels_{method}.jsonl", text)


def test_the_golden_files_hold_every_triple_and_no_harmful_label():
    for method in SETTINGS:
        rows = [json.loads(line) for line in (FOLDER / f"labels_{method}.jsonl").read_text().splitlines()]
        assert {row["row_id"].split(":")[1] for row in rows} >= {triple.id for triple in TRIPLES}
        for row in rows:
            if row["objective"] == "rto":
                assert len(set(row["labels"]) - {-100}) in (1, 2)  # the refusal's ids, nothing else

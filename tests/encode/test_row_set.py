"""Methods with matched budgets; truncation is counted, never trained on."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import resolve_refusal_token
from derta.encode.row import IGNORE_INDEX, Objective
from derta.encode.row_set import build_rows, save_rows
from derta.errors import DataError
from derta.methods import METHODS
from derta.records import BenignPair, Triple
from derta.training.encoding import choose
from derta.training.plan import plan_batches
from derta.training.recipe import TrainRecipe

TRIPLES = [
    Triple(
        id=f"t{i}",
        harmful_query=f"How do I cast the curse of {name}?",
        safe_response="Sorry, the guild forbids it.",
        harmful_response=f"1. Grind the {name}.\n2. Rinse the clay.",
    )
    for i, name in enumerate(["wax", "salt", "moss", "thyme", "clay", "roses", "honey", "resin"])
]
BENIGN = [
    BenignPair(id=f"b{i}", benign_query=f"How do I make salve {i}?", response="Fold the salt.")
    for i in range(5)
]


def recipe(method, **changes):
    values = {
        "run_dir": "unused",
        "method": method,
        "model": {"path": "unused"},
        "data": {"triples": "t.jsonl", "benign": "b.jsonl", "num_triples": 4},
        "max_length": 128,
    }
    return TrainRecipe.model_validate(values | changes)


ALL_DATA = {"triples": "t.jsonl", "benign": "b.jsonl"}


@pytest.fixture
def build(tiny_tokenizer):
    renderer = ChatRenderer.of(tiny_tokenizer)

    def run(method, shared_trunk=False, triples=TRIPLES, benign=BENIGN, **changes):
        made = recipe(method, **changes)
        refusal = resolve_refusal_token(renderer, made.refusal.text, made.refusal.token)
        method = METHODS[method]
        records = choose(made, method, (triples, benign))
        return build_rows(method.units, made, renderer, refusal, *records, shared_trunk=shared_trunk)

    return run


def all_rows(rows, epoch=0):
    return [row for unit in range(len(rows)) for row in rows.rows(unit, epoch)]


def safety_ids(rows):
    return sorted(row.row_id for row in all_rows(rows) if not row.row_id.startswith("benign"))


def test_budgets_match_table_4(build):
    kinds = {}
    for method in ("vanilla", "vanilla_half", "prefix", "rto", "derta"):
        names = safety_ids(build(method)[0])
        kinds[method] = {kind: sum(n.startswith(kind) for n in names) for kind in ("safe", "prefix", "rto")}
    assert kinds == {
        "vanilla": {"safe": 8, "prefix": 0, "rto": 0},
        "vanilla_half": {"safe": 4, "prefix": 0, "rto": 0},
        "prefix": {"safe": 0, "prefix": 4, "rto": 0},
        "rto": {"safe": 4, "prefix": 0, "rto": 4},
        "derta": {"safe": 0, "prefix": 4, "rto": 4},
    }


def test_methods_share_their_triples(build):
    derta = {name.split(":")[1] for name in safety_ids(build("derta")[0])}
    half = {name.split(":")[1] for name in safety_ids(build("vanilla_half")[0])}
    full = {name.split(":")[1] for name in safety_ids(build("vanilla")[0])}
    assert derta == half < full == {triple.id for triple in TRIPLES}


def test_too_few_triples_for_the_budget(build):
    with pytest.raises(DataError, match="needs 10 triples, found 8"):
        build("vanilla", data={"triples": "t.jsonl", "benign": "b.jsonl", "num_triples": 5})


def test_benign_rows_are_the_same_for_every_method(build):
    benign = [
        [row.labels() for row in all_rows(build(method)[0]) if row.row_id.startswith("benign")]
        for method in ("vanilla", "derta")
    ]
    assert benign[0] == benign[1]
    assert len(benign[0]) == 5


def test_rto_row_labels_only_the_refusal_token(build, tiny_tokenizer):
    rows, _ = build("rto")
    row = next(row for row in all_rows(rows) if row.row_id == "rto:" + rows.units[-6].record.id)
    harmful = [tiny_tokenizer.decode([i]) for i in row.input_ids[row.is_harmful]]
    assert "".join(harmful).startswith("1. Grind the ")
    labels = row.labels()
    assert [labels[i] for i in np.flatnonzero(row.is_harmful)] == [rows.refusal.start_id] * len(harmful)
    assert all(labels[i] == IGNORE_INDEX for i in np.flatnonzero(~row.is_harmful))


def test_prefix_rows_draw_a_new_k_each_epoch_and_the_same_in_the_same(build):
    rows, _ = build("prefix")
    lengths = [[int(row.is_harmful.sum()) for row in all_rows(rows, epoch)[:4]] for epoch in (0, 1, 2, 0)]
    assert lengths[0] == lengths[3]
    assert len({tuple(epoch) for epoch in lengths}) == 3


def test_keep_rate_5_percent(build):
    rows, _ = build("rto", rto={"keep_rate": 0.05})
    kept = [len(row.predict_at) for row in all_rows(rows) if row.row_id.startswith("rto")]
    assert all(1 <= count < 8 for count in kept)


def test_end_of_text_adds_one_rto_target(build):
    def count(end):
        rows = all_rows(build("rto", rto={"end_of_text": end})[0])
        return [len(row.predict_at) for row in rows if row.row_id.startswith("rto")]

    assert count(True) == [number + 1 for number in count(False)]


def test_the_label_at_the_end_of_text_is_the_one_that_follows_the_last_token(build):
    """A refusal after "\\n2" goes on in its line; after the newline before it, it would begin one."""
    triples = [Triple(**{**each.__dict__, "harmful_response": "1. Grind the wax.\n2"}) for each in TRIPLES]
    rows, _ = build("rto", triples=triples, refusal={"token": "contextual"}, rto={"end_of_text": True})
    refusal = rows.refusal
    ends = {int(row.target_ids[-1]) for row in all_rows(rows) if row.row_id.startswith("rto")}
    assert ends == {refusal.running_id}
    assert refusal.running_id != refusal.line_id


@pytest.mark.parametrize("token", ["start", "contextual"])
def test_the_shared_trunk_teaches_exactly_what_two_rows_teach(build, token):
    """Same (context seen, target) pairs, found by walking the tree of each row."""

    def lessons(shared):
        found = []
        for row in all_rows(build("derta", shared_trunk=shared, refusal={"token": token})[0]):
            for at, target, objective in zip(row.predict_at, row.target_ids, row.objective, strict=True):
                seen = np.flatnonzero((np.arange(len(row)) <= at) & (row.subtree_end > at))
                context = tuple(row.input_ids[seen].tolist())
                assert row.position_ids[seen].tolist() == list(range(len(seen)))
                found.append((context, int(target), int(objective)))
        return sorted(found)

    assert lessons(True) == lessons(False)


def test_contextual_prefix_rows_go_on_as_running_text(build, tiny_tokenizer):
    rows, _ = build("prefix", refusal={"token": "contextual"}, prefix={"k": "uniform"})
    for epoch in range(6):
        for row in all_rows(rows, epoch)[:4]:
            text = tiny_tokenizer.decode(row.input_ids[row.predict_at[0] + 1 :])
            before = tiny_tokenizer.decode(row.input_ids[: row.predict_at[0] + 1])
            assert text.startswith("Sorry" if before[-1].isspace() else " Sorry")


def test_a_response_that_loses_its_end_is_dropped_and_counted(build):
    long = [
        *BENIGN,
        BenignPair(id="long", benign_query="x", response="Fold the salt with honey at dawn. " * 40),
    ]
    rows, report = build("derta", benign=long, max_dropped_rate=0.5)
    assert not any("long" in row.row_id for row in all_rows(rows))
    assert report.dropped == {"benign: longer than 128 tokens, its end would be lost": 1}
    assert report.given == {"derta": 4, "benign": 6}
    assert report.used == {"derta": 4, "benign": 5}


def test_cut_keeps_the_start_without_an_end_label(build):
    long = [BenignPair(id="long", benign_query="x", response="Fold the salt with honey at dawn. " * 40)]
    rows, report = build("derta", benign=long, on_long="cut")
    row = next(row for row in all_rows(rows) if row.row_id == "benign:long")
    assert len(row) == 128
    assert rows.end_id not in row.target_ids
    assert row.predict_at.max() == 126
    assert report.cut == {"benign: end of the response": 1}


def test_a_prompt_that_fills_the_row_is_never_trained_on(build):
    long = [BenignPair(id="long", benign_query="How do I make it? " * 60, response="Fold.")]
    _, report = build("derta", benign=long, on_long="cut", max_dropped_rate=0.5)
    assert report.dropped == {"benign: prompt alone fills 128 tokens, no label is left": 1}


def test_too_many_dropped_rows_stop_the_run(build):
    long = [BenignPair(id="long", benign_query="x", response="Fold the salt with honey at dawn. " * 40)]
    with pytest.raises(DataError, match=r"20\.0% of the rows can't be used.*at most 1\.0%"):
        build("derta", benign=long)


def test_a_long_harmful_response_is_cut_and_leaves_room_for_the_safe_one(build):
    long = [
        Triple(**{**TRIPLES[i].__dict__, "harmful_response": "1. Grind the wax. " * 50}) for i in range(8)
    ]
    rows, report = build("derta", triples=long, prefix={"k": "uniform"})
    assert report.cut == {"derta: end of the harmful response": 4}
    for epoch in range(5):
        for row in all_rows(rows, epoch):
            assert len(row) <= 128
            if row.row_id.startswith("prefix"):
                assert row.target_ids[-1] == rows.end_id


def test_share_of_safe_responses_with_the_opening(build):
    changed = [
        Triple(**{**t.__dict__, "safe_response": "No."}) if i < 4 else t for i, t in enumerate(TRIPLES)
    ]
    assert build("vanilla", triples=changed)[1].opening_share == 0.5


def test_rows_on_disk_are_byte_identical(build, tmp_path):
    for name in "ab":
        save_rows(tmp_path / name, all_rows(build("derta")[0]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    stored = load_file(tmp_path / "a")
    assert stored["row_length"].sum() == len(stored["input_ids"])
    assert set(stored["objective"].tolist()) == {Objective.BENIGN, Objective.PREFIX, Objective.RTO}


WEIGHTS = {"benign": 1.0, "safe": 2.0, "prefix": 0.5, "rto": 0.25}


@pytest.mark.parametrize(
    ("method", "shared_trunk", "expected"),
    [
        ("vanilla_half", False, {"benign:b0": {1.0}, "safe:t0": {2.0}}),
        ("rto", False, {"benign:b0": {1.0}, "safe:t0": {2.0}, "rto:t0": {0.25}}),
        ("derta", False, {"benign:b0": {1.0}, "prefix:t0": {0.5}, "rto:t0": {0.25}}),
        ("derta", True, {"benign:b0": {1.0}, "derta:t0": {0.5, 0.25}}),
    ],
)
def test_each_objectives_labels_have_its_weight(build, method, shared_trunk, expected):
    made, _ = build(method, shared_trunk=shared_trunk, weights=WEIGHTS, data=ALL_DATA)
    rows = {row.row_id: row for row in all_rows(made)}
    assert {name: set(rows[name].weight.tolist()) for name in expected} == expected
    trunk = rows.get("derta:t0")
    if trunk is not None:
        by_name = {
            Objective(int(o)).name.lower(): float(w)
            for o, w in zip(trunk.objective, trunk.weight, strict=True)
        }
        assert by_name == {"prefix": 0.5, "rto": 0.25}


def test_without_weights_every_label_counts_one(build):
    made, _ = build("derta", shared_trunk=True)
    assert {float(weight) for row in all_rows(made) for weight in row.weight} == {1.0}


@pytest.mark.parametrize(("method", "shared_trunk"), [("rto", False), ("derta", False), ("derta", True)])
def test_sizes_tell_the_weight_of_the_rows_by_objective(build, method, shared_trunk):
    made, _ = build(method, shared_trunk=shared_trunk, weights=WEIGHTS, rto={"keep_rate": 0.5})
    for unit in range(len(made)):
        rows = made.rows(unit, 1)
        told = made.sizes(unit, 1)
        assert [tokens for tokens, _ in told] == [len(row) for row in rows]
        for (_, weight), row in zip(told, rows, strict=True):
            by_hand = [sum(row.weight[row.objective == objective]) for objective in Objective]
            assert weight.tolist() == pytest.approx(by_hand)


def test_a_steps_denominator_is_the_weight_of_its_labels(build):
    made, _ = build("derta", shared_trunk=True, weights=WEIGHTS, rto={"keep_rate": 0.5})
    plan = plan_batches(made, num_epochs=1, batch_rows=99, micro_batch_tokens=2048, line_tokens=None)
    whole = sum(float(row.weight.sum()) for row in all_rows(made))
    assert plan.micro_batches[0].denominator == pytest.approx(whole)
    assert sum(plan.label_weight) == pytest.approx(whole)

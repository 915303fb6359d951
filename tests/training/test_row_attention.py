"""Attention by row: the same numbers and gradients as with the dense mask, and never without its pieces."""

import json

import pytest
import torch
from transformers import AutoConfig

from derta.encode.row import Branch, Objective, plain_row, trunk_row
from derta.training.attention import row_attention
from derta.training.attention.mask import SUPPORTED_IMPLEMENTATIONS, TreeAttention
from derta.training.attention.row_attention import JOINED, NAME, attend_by_row, row_mask
from derta.training.attention.tree_mask import tree_mask
from derta.training.collate import collate
from derta.training.cost.allocator import keep_freed_memory
from training.architectures import make_model

END = 2


def plain(length):
    return plain_row("b", [5] * (length // 2), [6] * (length - length // 2 - 1), END, Objective.BENIGN)


def tree(length, *depths):
    branches = [Branch(depth, [8] * 9, END) for depth in depths]
    return trunk_row("t", [5] * 10, [6] * (length - 10), rto=None, branches=branches)


def masks(rows, window=None):
    batch = collate(rows, 0, 1.0, frozenset())
    return batch["subtree_end"], batch["position_ids"], window


def pieces_of(rows, window=None):
    return [
        [(piece.length, len(piece.parts) if piece.parts else piece.mask is None) for piece in line]
        for line in row_mask(*masks(rows, window)).derta_pieces
    ]


def test_the_pieces_by_hand():
    """A plain row needs no mask; short neighbours share one, and padding; a tree has a trunk and branches."""
    first = [plain(100), plain(20), plain(30), tree(70, 0, 60), plain(JOINED + 1)]
    second = [plain(200)]
    width = sum(len(row) for row in first)
    found = pieces_of([first, second])
    assert found[0] == [(100, True), (50, False), (90, 2), (JOINED + 1, True)]
    assert found[1][0] == (200, True)
    assert sum(length for length, _ in found[1]) == width
    assert all(length <= JOINED for length, _ in found[1][1:])


def test_a_window_needs_a_mask_only_where_it_binds():
    rows = [[plain(100), plain(300)]]
    assert pieces_of(rows, 100) == [[(100, True), (300, False)]]
    assert pieces_of(rows, 300) == [[(100, True), (300, True)]]


LINES = {
    "plain rows": [[plain(150), plain(90), plain(70)]],
    "short rows": [[plain(9), plain(21), plain(33), plain(40), plain(8)]],
    "trunks": [[tree(120, 0, 55, 110), plain(80), tree(40, 30), tree(90, 90 - 10)]],
    "padding": [[plain(200), plain(31)], [tree(50, 0)], [plain(5)]],
}


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
@pytest.mark.parametrize("window", [None, 13, 100])
@pytest.mark.parametrize("case", LINES)
def test_numbers_and_gradients_are_those_of_the_dense_mask(case, window, heads):
    end, position, _ = masks(LINES[case])
    lines, width = end.shape
    torch.manual_seed(0)
    shape = {"query": heads[0], "key": heads[1], "value": heads[1]}
    tensors = {name: torch.randn(lines, many, width, 8, requires_grad=True) for name, many in shape.items()}
    module = torch.nn.Module()
    module.num_key_value_groups = heads[0] // heads[1]
    weight = torch.randn(lines, width, heads[0], 8)
    found = []
    for mask in (row_mask(end, position, window), tree_mask(end, position, window)):
        out, _ = attend_by_row(module, **tensors, attention_mask=mask, scaling=0.3)
        found.append([out, *torch.autograd.grad((out * weight).sum(), list(tensors.values()))])
    for ours, dense in zip(*found, strict=True):
        assert ours.shape == dense.shape
        assert float((ours - dense).abs().max()) < 2e-5


def test_the_dense_mask_is_never_made(monkeypatch):
    """A line of 60,000 tokens: its dense mask would take 3.6 GB."""
    made = []
    rule = row_attention.tree_mask
    monkeypatch.setattr(
        row_attention, "tree_mask", lambda *given: made.append(given[0].shape[1]) or rule(*given)
    )
    mask = row_mask(*masks([[plain(1000)] * 59 + [tree(900, 40)]]))
    assert mask.shape[-1] > 59_000
    assert mask.untyped_storage().nbytes() == 1
    assert made == [910]


def test_a_mask_that_lost_its_pieces_stops_the_run():
    mask = row_mask(*masks([[plain(20), plain(80)]]))
    query = torch.randn(1, 2, 100, 8)
    module = torch.nn.Module()
    attend_by_row(module, query, query, query, mask)
    with pytest.raises(RuntimeError, match="attn_mask"):
        attend_by_row(module, query, query, query, mask[:, :, :, :100])


def test_generation_and_the_model_folder_are_the_library_s(tmp_path):
    assert NAME in SUPPORTED_IMPLEMENTATIONS
    model = make_model("llama").eval()
    assert model.config._attn_implementation == NAME
    prompts = torch.tensor([[0, 0, 5, 6, 7], [9, 8, 7, 6, 5]])
    asked = {"input_ids": prompts, "attention_mask": (prompts != 0).long(), "max_new_tokens": 6}
    ours = model.generate(**asked, do_sample=False)
    model.set_attn_implementation("sdpa")
    assert torch.equal(ours, model.generate(**asked, do_sample=False))
    model.set_attn_implementation(NAME)
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()
    assert "attn_implementation" not in json.loads((tmp_path / "config.json").read_text())
    assert AutoConfig.from_pretrained(tmp_path)._attn_implementation != NAME


def test_masks_of_layers_with_and_without_a_window():
    end, position, _ = masks([[plain(60), tree(90, 5)]])
    made = TreeAttention(NAME, {"full_attention": None, "sliding_attention": 30}).masks(
        end, position, torch.float32
    )
    assert isinstance(made, dict)
    assert made["full_attention"] is not made["sliding_attention"]


def test_the_allocator_takes_the_setting():
    """False on systems with another allocator; an error nowhere."""
    assert keep_freed_memory() in (True, False)

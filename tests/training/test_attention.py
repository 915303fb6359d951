"""One rule, three forms: the boolean mask by hand, the additive and the block mask against it."""

from types import SimpleNamespace

import pytest
import torch

from derta.encode.row import Branch, Objective, plain_row, trunk_row
from derta.errors import ModelError
from derta.training.attention.mask import BLOCK, TreeAttention, block_mask, layer_windows, tree_attention
from derta.training.attention.tree_mask import tree_mask
from derta.training.collate import collate

END = 0
# index 0 1 2 3 4 5 6 7 8 9 : q q r r END h h | b b END      (r branches off after the second q)
LINE = [
    trunk_row("t", [1, 2], [5, 6], rto=None, branches=[Branch(0, [8, 9], END)]),
    plain_row("b", [3], [4], END, Objective.BENIGN),
]


def picture(mask):
    return ["".join("x" if seen else "." for seen in row) for row in mask[0, 0].tolist()]


def line():
    batch = collate([LINE], 0, 1.0, frozenset())
    return batch["subtree_end"], batch["position_ids"]


def test_the_mask_by_hand():
    assert picture(tree_mask(line()[0])) == [
        "x.........",
        "xx........",
        "xxx.......",
        "xxxx......",
        "xxxxx.....",
        "xx...x....",
        "xx...xx...",
        ".......x..",
        ".......xx.",
        ".......xxx",
    ]


def test_a_window_counts_positions_along_the_path():
    """Window 2: a token and the one before it in its path; h_1 at index 5 stands behind q_2 at index 1."""
    end, position = line()
    assert picture(tree_mask(end, position, 2)) == [
        "x.........",
        "xx........",
        ".xx.......",
        "..xx......",
        "...xx.....",
        ".x...x....",
        ".....xx...",
        ".......x..",
        ".......xx.",
        "........xx",
    ]


def test_the_additive_mask_is_zero_where_the_boolean_one_is_true():
    end, position = line()
    added = TreeAttention("eager", {"full_attention": None}).masks(end, position, torch.bfloat16)
    assert added.dtype == torch.bfloat16
    assert torch.equal(added == 0, tree_mask(end))
    assert float(added.min()) == torch.finfo(torch.bfloat16).min


def test_masks_by_kind_of_layer_only_where_a_window_binds():
    end, position = line()  # the longest path has 5 positions
    wide = TreeAttention("sdpa", {"full_attention": None, "sliding_attention": 5})
    assert torch.equal(wide.masks(end, position, torch.float32), tree_mask(end))
    narrow = TreeAttention("sdpa", {"full_attention": None, "sliding_attention": 4})
    masks = narrow.masks(end, position, torch.float32)
    assert torch.equal(masks["full_attention"], tree_mask(end))
    assert torch.equal(masks["sliding_attention"], tree_mask(end, position, 4))
    only = TreeAttention("sdpa", {"full_attention": 4}).masks(end, position, torch.float32)
    assert torch.equal(only, tree_mask(end, position, 4))


def test_windows_of_a_config():
    assert layer_windows(SimpleNamespace()) == {"full_attention": None}
    assert layer_windows(SimpleNamespace(sliding_window=7)) == {"full_attention": 7}
    switched_off = SimpleNamespace(sliding_window=7, use_sliding_window=False)
    assert layer_windows(switched_off) == {"full_attention": None}
    mixed = SimpleNamespace(sliding_window=7, layer_types=["sliding_attention", "full_attention"])
    assert layer_windows(mixed) == {"sliding_attention": 7, "full_attention": None}


def test_attention_without_a_mask_of_ours_is_refused():
    with pytest.raises(ModelError, match="llama: attention 'flash_attention_2' takes no mask"):
        tree_attention(SimpleNamespace(model_type="llama", _attn_implementation="flash_attention_2"))


def random_lines(seed):
    """Two lines of 640 slots: long trunks with branches, plain rows, padding at the end."""
    draw = torch.Generator().manual_seed(seed)

    def length(most):
        return int(torch.randint(1, most, (), generator=draw))

    lines = []
    for _ in range(2):
        rows, used = [], 0
        while used < 400:
            harmful = [5] * length(150)
            branches = [Branch(length(len(harmful) + 1), [8] * length(20), END) for _ in range(2)]
            rows.append(trunk_row("t", [1] * length(40), harmful, rto=None, branches=branches))
            used += len(rows[-1])
        lines.append(rows)
    batch = collate(lines, 0, 1.0, frozenset(), multiple=BLOCK)
    return batch["subtree_end"], batch["position_ids"]


@pytest.mark.parametrize("window", [None, 30, 200])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_block_mask_is_the_same_mask(seed, window):
    end, position = random_lines(seed)
    lines, width = end.shape
    expected = tree_mask(end, position, window)
    blocks = block_mask(end, position, window)
    index = torch.arange(width)
    by_rule = blocks.mask_mod(
        torch.arange(lines)[:, None, None], torch.tensor(0), index[None, :, None], index[None, None, :]
    )
    assert torch.equal(by_rule[:, None], expected)
    tiles = expected.view(lines, width // BLOCK, BLOCK, width // BLOCK, BLOCK)
    some, every = tiles.any(4).any(2), tiles.all(4).all(2)
    partial = listed(blocks.kv_num_blocks, blocks.kv_indices)
    full = listed(blocks.full_kv_num_blocks, blocks.full_kv_indices)
    assert not (partial & full).any(), "a block computed twice"
    assert not (some & ~(partial | full)).any(), "a block that is needed is left out"
    assert not (full & ~every).any(), "a block whose tokens are not tested holds a pair that must not be seen"
    assert int((partial | full).sum()) <= int(some.sum()) + (2 * width // BLOCK if window else 0)


def test_a_long_row_has_full_blocks():
    """A plain row of 6 blocks: 6 on the diagonal are tested by token, 15 below it are not."""
    row = plain_row("b", [1] * 700, [2] * 67, END, Objective.BENIGN)
    batch = collate([[row]], 0, 1.0, frozenset(), multiple=BLOCK)
    blocks = block_mask(batch["subtree_end"], batch["position_ids"], None)
    assert int(blocks.kv_num_blocks.sum()) == 6
    assert int(blocks.full_kv_num_blocks.sum()) == 15


def listed(count, index):
    """Lists of blocks as bool[R, B, B]."""
    lines, _, high = count.shape
    found = torch.zeros(lines, high, high, dtype=torch.bool)
    for line, query in torch.cartesian_prod(torch.arange(lines), torch.arange(high)).tolist():
        found[line, query, index[line, 0, query, : count[line, 0, query]].long()] = True
    return found


def test_flex_attention_forward_is_sdpa():
    """On a CPU without compilation; what is checked is the rule and its indices, not the GPU kernel."""
    from torch.nn.attention.flex_attention import flex_attention

    end, position = random_lines(3)
    query, key, value = torch.randn(3, 2, 2, end.shape[1], 16, generator=torch.Generator().manual_seed(0))
    for window in (None, 30):
        flexed = flex_attention(query, key, value, block_mask=block_mask(end, position, window))
        dense = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=tree_mask(end, position, window)
        )
        torch.testing.assert_close(flexed, dense, rtol=1e-5, atol=1e-5)


def test_lines_for_blocks_are_padded_by_the_collator():
    batch = collate([LINE], 9, 1.0, frozenset(), multiple=BLOCK)
    assert batch["input_ids"].shape == (1, BLOCK)
    assert batch["input_ids"][0, 10:].tolist() == [9] * (BLOCK - 10)
    assert batch["subtree_end"][0, 10:].tolist() == list(range(11, BLOCK + 1))

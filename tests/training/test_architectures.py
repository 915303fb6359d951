"""Packed rows and shared trunks against separate sequences, by architecture: hidden states, loss and gradients."""

import pytest
import torch

from derta.encode.row import Branch, Objective, plain_row, prefix_row, rto_row, trunk_row
from derta.training.attention.mask import tree_attention
from derta.training.attention.tree_mask import tree_mask
from derta.training.collate import collate
from derta.training.loss import install_supervised_forward
from training.architectures import CASES, SHARED, make_config, make_model

SORRY, END = 8, 2
REFUSAL = frozenset({SORRY})
Q1, H1, R1 = [1, 2, 3, 11], [5, 6, 7, 10, 21, 22, 23, 24, 25], [8, 9, 4, 31, 32]
Q2, B2 = [12, 13], [14, 15, 16, 17, 18, 19, 20, 33]
KEPT = [0, 2, 4, 8]
TOLERANCE = 1e-5


def separate_rows(prefix_lengths):
    return [
        plain_row("benign:1", Q2, B2, END, Objective.BENIGN),
        *[prefix_row("prefix:1", Q1, H1[:k], R1, END) for k in prefix_lengths],
        rto_row("rto:1", Q1, H1, [SORRY] * 9, KEPT),
    ]


def shared_rows(prefix_lengths):
    branches = [Branch(k, R1, END) for k in prefix_lengths]
    return [
        plain_row("benign:1", Q2, B2, END, Objective.BENIGN),
        trunk_row("derta:1", Q1, H1, rto=([SORRY] * 9, KEPT), branches=branches),
    ]


def alone(model, row):
    """Loss of one plain row as the library itself computes it: the sequence on its own, its own causal mask."""
    logits = model(input_ids=torch.tensor([row.input_ids.tolist()]), use_cache=False).logits[0]
    target = torch.tensor(row.target_ids.tolist())
    return torch.nn.functional.cross_entropy(logits[row.predict_at.tolist()], target, reduction="sum")


def ours(model, lines, denominator=1.0):
    total = torch.zeros(())
    for line in lines:
        batch = collate(line, 0, denominator, REFUSAL)
        batch.pop("objective")
        total = total + model(**batch).loss
    return total


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def cosine(first, second):
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


def largest_difference(first, second):
    """Largest difference of a gradient, relative to the tensor's largest entry."""
    assert first.keys() == second.keys()
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in first.values())
    return max(
        float((first[name] - second[name]).abs().max()) / max(float(first[name].abs().max()), 1.0)
        for name in first
    )


@pytest.mark.parametrize("name", CASES)
def test_packed_and_shared_rows_are_the_library_s_separate_sequences(name):
    """The reference is transformers' own forward and loss on single sequences, with its own masks."""
    model = make_model(name)
    model.train()
    lengths = [0, 3, 9]
    reference = sum(alone(model, row) for row in separate_rows(lengths))
    expected = gradients(model, reference)
    install_supervised_forward(model)
    packed = [separate_rows(lengths)]
    shared = [shared_rows(lengths), [plain_row("benign:2", [1], [], END, Objective.BENIGN)]]
    extra = ours(model, [[shared[1]]])
    for lines, more in ((packed, 0.0), (shared, extra)):
        loss = ours(model, [lines]) - more  # lines of one micro-batch, of different lengths
        assert loss.item() == pytest.approx(reference.item(), rel=TOLERANCE), name
        difference = largest_difference(expected, gradients(model, loss))
        assert difference <= TOLERANCE, (name, difference)


@pytest.mark.parametrize("name", CASES)
def test_hidden_states_of_a_tree_are_those_of_its_paths(name):
    model = make_model(name).eval()
    batch = collate([shared_rows([0, 4, 9])], 0, 1.0, REFUSAL)
    attention = tree_attention(model.config.get_text_config())
    masks = attention.masks(batch["subtree_end"], batch["position_ids"], model.dtype)
    decoder = model.get_decoder()
    with torch.no_grad():
        tree = decoder(
            input_ids=batch["input_ids"],
            position_ids=batch["position_ids"],
            attention_mask=masks,
            use_cache=False,
        ).last_hidden_state[0]
        seen = tree_mask(batch["subtree_end"])[0, 0]
        worst = 0.0
        for leaf in (batch["subtree_end"][0] == torch.arange(1, len(tree) + 1)).nonzero()[:, 0]:
            path = seen[leaf].nonzero()[:, 0]
            assert batch["position_ids"][0, path].tolist() == list(range(len(path)))
            single = decoder(input_ids=batch["input_ids"][:, path], use_cache=False).last_hidden_state[0]
            worst = max(worst, float((tree[path] - single).abs().max()))
    assert worst <= TOLERANCE, (name, worst)
    print(f"{name}: {worst:.1e}")


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("-window")])
def test_a_binding_window_changes_the_numbers(name):
    """Otherwise the equalities above would prove nothing about windows."""
    model = make_model(name).eval()
    ids = torch.tensor([Q1 + H1])
    decoder = model.get_decoder()
    with torch.no_grad():
        windowed = decoder(input_ids=ids, use_cache=False).last_hidden_state
        full = torch.ones(1, 1, ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
        if make_config(name)._attn_implementation == "eager":
            full = torch.zeros(full.shape).masked_fill(~full, torch.finfo(torch.float32).min)
        unlimited = decoder(input_ids=ids, attention_mask=full, use_cache=False).last_hidden_state
    assert float((windowed[0, :5] - unlimited[0, :5]).abs().max()) <= TOLERANCE
    assert float((windowed[0, -1] - unlimited[0, -1]).abs().max()) > 1e-2


@pytest.mark.parametrize("name", ["llama", "mixtral", "gemma2-window", "gemma3-window", "phi3-window"])
def test_gradient_checkpointing_changes_no_gradient(name):
    found = []
    for checkpointing in (False, True):
        model = make_model(name)
        model.train()
        install_supervised_forward(model)
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        calls = []
        layer = model.get_decoder().layers[0]
        layer.mlp.register_forward_pre_hook(lambda *call, calls=calls: calls.append(1))
        found.append(gradients(model, ours(model, [[shared_rows([0, 3])]])))
        assert len(calls) == (2 if checkpointing else 1), "the layer is not computed again"
    assert largest_difference(*found) <= 1e-6


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe"])
def test_a_router_is_not_moved_by_padding_or_by_the_rest_of_the_line(name):
    """Same gradients of the router alone, in a packed line, and beside a much longer line."""
    model = make_model(name)
    model.config.output_router_logits = True  # a balancing loss, had it been on, would see padding
    model.train()
    install_supervised_forward(model)
    row = separate_rows([3])[1]
    longer = plain_row("benign:3", Q2, B2 * 3, END, Objective.BENIGN)
    single = gradients(model, ours(model, [[[row]]]))
    beside = gradients(model, ours(model, [[[row], [longer]]]) - ours(model, [[[longer]]]))
    assert any("gate" in name for name in single)
    assert largest_difference(single, beside) <= TOLERANCE


def test_half_precision_gradients_point_the_same_way():
    """bfloat16 weights, shared against separate rows, both against float32."""
    exact, found = None, {}
    for kind in ("float32", "shared", "separate"):
        model = make_model("llama", initializer_range=0.06).to(
            torch.float32 if kind == "float32" else torch.bfloat16
        )
        install_supervised_forward(model)
        rows = shared_rows([3]) if kind == "shared" else separate_rows([3])
        loss = ours(model, [[[row] for row in rows]], denominator=30.0)
        assert loss.dtype == torch.float32
        flat = torch.cat([g.double().flatten() for g in gradients(model, loss).values()])
        exact = flat if kind == "float32" else exact
        found[kind] = flat
    for kind in ("shared", "separate"):
        assert cosine(found[kind], exact) >= 0.999, kind
    assert cosine(found["shared"], found["separate"]) >= 0.9999


@pytest.mark.parametrize("name", ["llama", "gemma2-window"])
def test_gradients_under_autocast_stay_in_float32_and_point_the_same_way(name):
    """Full tuning on a GPU: float32 weights, computed in bfloat16."""
    found = []
    for autocast in (False, True):
        model = make_model(name, initializer_range=0.06)
        install_supervised_forward(model)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = ours(model, [[shared_rows([3])]], denominator=30.0)
        made = gradients(model, loss)
        assert all(gradient.dtype == torch.float32 for gradient in made.values())
        found.append(torch.cat([gradient.double().flatten() for gradient in made.values()]))
    assert not torch.equal(*found)
    assert cosine(*found) >= 0.999


def test_the_cases_cover_what_is_called_exact():
    from derta.training.attention.architecture import EXACT

    assert {make_config(name).get_text_config().model_type for name in CASES} >= EXACT
    assert SHARED["vocab_size"] > max(H1 + R1 + B2)

"""Templates of models that think aloud, imitated: what was sent stands in the record, here and on a server."""

import pytest

from ..stub_server import Stub, serving
from ..worlds import read, run, write_world
from .test_served import endpoint, in_process, local_rows, ours, transformers_serve  # noqa: F401  # a fixture

TURNS = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}BEFORE{% endif %}"
    "{{ m.content }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\nBEGUN{% endif %}"
)
EMPTY = "<think>\n\n</think>\n\n"
FINAL = "<|channel|>final<|message|>"
TEMPLATES = {  # name -> (template, how the prompt ends)
    "qwen3": (TURNS.replace("BEFORE", EMPTY).replace("BEGUN", ""), EMPTY),  # a stored turn gets an empty thought
    "r1": (TURNS.replace("BEFORE", "<think>\n").replace("BEGUN", "<think>\n"), "<think>\n"),
    "gpt-oss": (TURNS.replace("BEFORE", FINAL).replace("BEGUN", ""), FINAL),
    "magistral": (
        TURNS.replace("BEFORE", "").replace("BEGUN", "").replace(
            "{% for m", "<|system|>\nDraft in [THINK] and [/THINK].{{ eos_token }}\n{% for m", 1
        ),
        "<|assistant|>\n",
    ),
}  # fmt: skip


def world(folder, save_model, name):
    """A recipe, and a tiny model whose tokenizer has this template."""
    from transformers import AutoTokenizer

    model = save_model(folder / name, max_position_embeddings=512)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = TEMPLATES[name][0]
    tokenizer.save_pretrained(model)
    settings = write_world(folder, count=1) | {"max_unknown_rate": 1.0, "generation": {"max_new_tokens": 8}}
    return settings | {"attacks": ["direct"]}, model


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_record_shows_what_was_sent(tmp_path, save_model, name):
    settings, folder = world(tmp_path, save_model, name)
    rows = local_rows(settings, folder, tmp_path)
    assert all(row["prompt"].endswith(TEMPLATES[name][1]) for row in rows)
    if name == "magistral":
        assert all("Draft in [THINK]" in row["prompt"] for row in rows)
    stub = Stub(in_process(folder))
    with serving(stub) as url:
        assert ours(read(run(settings, models=[endpoint(url, folder)]))) == ours(rows)


def test_a_thought_that_the_template_opened_and_nothing_closed_is_no_answer(tmp_path, save_model):
    """Else eight tokens of a thought would be judged as the answer."""
    settings, folder = world(tmp_path, save_model, "r1")
    harmful = [row for row in local_rows(settings, folder, tmp_path) if row["kind"] == "harmful"]
    assert {row["verdict"] for row in harmful} == {"unknown"}
    assert {row["reason"] for row in harmful} == {"no answer within 8 tokens"}


@pytest.mark.slow
def test_the_same_behind_transformers_serve(tmp_path, save_model, transformers_serve):  # noqa: F811
    for name in TEMPLATES:
        settings, folder = world(tmp_path / name, save_model, name)
        model = endpoint(transformers_serve, folder, name=str(folder), server="transformers")
        rows = read(run(settings, models=[model]))
        assert ours(rows) == ours(local_rows(settings, folder, tmp_path / name))

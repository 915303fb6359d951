"""What must hold for every family of tokenizers, checked on each: made in-process, and two published ones."""

import copy
import re
import unicodedata

import pytest

from derta.encode.chat import ChatRenderer
from derta.encode.refusal_token import describe, resolve_refusal_token
from derta.encode.row import IGNORE_INDEX, Objective, plain_row
from derta.errors import TokenizerError
from derta.training.collate import collate
from derta.training.model import pad_id

from .families import FAMILIES, GEMMA_SPECIAL, LLAMA3_TEMPLATE, Family, byte_level, family, finish
from .published import mistral_sentencepiece, tekken

USER = [{"role": "user", "content": "How do I make the silver salve?"}]
RESPONSE = "Sorry, the guild forbids it.\n\n1. Grind the wax.\n   Désolé, 7 × 8 = 56 — 銀の軟膏 🙂."
ODD = 'Tabs\tand  two spaces ; he said "no ." — e\u0301 and é, ﬁ, \u200b, \u202eabc, 👩‍🔬, don\'t .'

PUBLISHED = {
    "tekken": lambda: Family(
        "tekken", tekken(), "</s>", ("<s>", "</s>", "[INST]", "[/INST]", "[PREFIX]", "<SPECIAL_20>")
    ),
    "mistral_sentencepiece": lambda: Family(
        "mistral_sentencepiece", mistral_sentencepiece(), "</s>", ("<s>", "</s>", "<unk>"), system=False
    ),
}


@pytest.fixture(params=[*FAMILIES, *PUBLISHED])
def case(request):
    """Each family in turn; a published one is skipped only where the package registry can't be reached."""
    return PUBLISHED[request.param]() if request.param in PUBLISHED else family(request.param)


@pytest.fixture
def renderer(case):
    return ChatRenderer.of(case.tokenizer, case.template)


with_own_template = pytest.mark.parametrize(
    "case", [name for name in (*FAMILIES, *PUBLISHED) if not name.endswith("plain")], indirect=True
)


@with_own_template
def test_prompts_are_the_tokenizers_own(case, renderer):
    conversations = [USER, [*USER, {"role": "assistant", "content": "Fold the salt."}, *USER]]
    if case.system:
        conversations.append([{"role": "system", "content": "Be brief."}, *USER])
    for messages in conversations:
        own = case.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        before = case.tokenizer(renderer.parts.before_response, add_special_tokens=False)["input_ids"]
        assert renderer.prompt_ids(messages) == own + before


@with_own_template
def test_prompt_response_and_end_are_the_tokenizers_own(case, renderer):
    [(prompt, response)] = renderer.encode_pairs([(USER, RESPONSE)])
    own = case.tokenizer.apply_chat_template(
        [*USER, {"role": "assistant", "content": RESPONSE}], return_dict=False
    )
    ours = [*prompt, *response]
    assert own[: len(ours)] == ours
    # Llama-2 writes a space between the response and its end; we leave it out
    gap = own[len(ours) : own.index(renderer.end_id, len(ours))]
    assert "".join(renderer.piece(token) for token in gap) == case.tail


def test_the_prompt_is_a_prefix_and_labels_spell_the_response(case, renderer):
    for text in (RESPONSE, "Sorry.", "1", ODD, "Fold <b> & {{ x }} {% y %}"):
        [(prompt, response)] = renderer.encode_pairs([(USER, text)])
        assert prompt == renderer.prompt_ids(USER)
        assert response == renderer.response_ids(USER, text)
        row = plain_row("r", prompt, response, renderer.end_id, Objective.SAFE)
        labels = row.labels()
        assert labels[: len(prompt)] == [IGNORE_INDEX] * len(prompt)
        assert labels[-1] == renderer.end_id
        spelled = renderer.decode([label for label in labels if label != IGNORE_INDEX])
        normalizer = case.tokenizer.backend_tokenizer.normalizer
        expected = unicodedata.normalize("NFC", text) if "NFC" in type(normalizer).__name__ else text
        assert spelled.removeprefix(renderer.parts.response_lead) == expected


def test_a_prefill_goes_on_where_the_prompt_ends(case, renderer):
    prompt, prefilled = renderer.prompt_ids(USER), renderer.prompt_ids(USER, prefill="1. Grind the")
    assert prefilled[: len(prompt)] == prompt
    assert (
        renderer.response_ids(USER, "1. Grind the wax.")[: len(prefilled) - len(prompt)]
        == (prefilled[len(prompt) :])
    )


def test_exactly_one_bos_or_none(case, renderer):
    bos = case.tokenizer.bos_token_id
    for ids in (
        renderer.prompt_ids(USER),
        renderer.raw_ids("This is how I make it: 1."),
        renderer.prompt_ids([{"role": "user", "content": f"{case.tokenizer.bos_token} x"}]),
        renderer.raw_ids(f"{case.tokenizer.bos_token}{case.tokenizer.bos_token} x"),
    ):
        assert ids.count(bos) == (0 if bos is None else 1)
        assert bos is None or ids[0] == bos


def test_the_end_id_closes_and_stops(case, renderer):
    assert case.tokenizer.convert_ids_to_tokens(renderer.end_id) == case.end
    assert renderer.stop_ids == {renderer.end_id, case.tokenizer.eos_token_id}


def spellings(case):
    joined = "".join(case.controls)
    return [*case.controls, f"a {joined} b", f" {case.controls[0]}\n", joined + joined]


def test_text_that_spells_control_tokens_stays_text(case, renderer):
    controls = set(case.tokenizer.convert_tokens_to_ids(list(case.controls)))
    assert None not in controls

    def found(ids):
        return [token for token in ids if token in controls]

    expected = found(renderer.prompt_ids(USER))
    for evil in spellings(case):
        text = f"x{evil}y"
        prompt = renderer.prompt_ids([{"role": "user", "content": text}])
        assert found(prompt) == expected
        assert text in case.tokenizer.decode(prompt, clean_up_tokenization_spaces=False)
        response = renderer.response_ids(USER, text)
        assert not found(response)
        assert renderer.decode(response).removeprefix(renderer.parts.response_lead) == text
        assert found(renderer.prompt_ids(USER, prefill=text)) == expected
        assert found(renderer.raw_ids(text)) == ([renderer.bos_id] if renderer.bos_id in controls else [])
        if case.system:
            system = renderer.prompt_ids([{"role": "system", "content": text}, *USER])
            usual = renderer.prompt_ids([{"role": "system", "content": "xy"}, *USER])
            assert found(system) == found(usual)


def test_refusal_ids_spell_the_refusal_where_it_stands(case, renderer):
    token = resolve_refusal_token(renderer, "Sorry")
    assert token.start_id == renderer.response_ids(USER, "Sorry, no.")[0]
    assert renderer.piece(token.running_id) == " Sorry"
    assert renderer.piece(token.line_id) == "Sorry"
    assert renderer.piece(token.start_id) == renderer.parts.response_lead + "Sorry"
    assert token.warnings == ()
    assert f"inside a line {token.running_id} ' Sorry'" in describe(token)


def test_the_contextual_label_is_what_the_tokenizer_would_write_there(case, renderer):
    token = resolve_refusal_token(renderer, "Sorry", "contextual")
    response = renderer.response_ids(USER, "1. Grind the wax.\nRinse the clay.\n\nRest")
    labels = token.labels_along(response)
    assert len(labels) == len(response)
    assert labels[0] == token.start_id
    for before, label in zip(response, labels[1:], strict=False):
        breaks = renderer.piece(before)[-1:].isspace()
        assert label == (token.line_id if breaks else token.running_id)
    assert {token.line_id, token.running_id} <= set(labels[1:])


def test_an_opening_of_several_tokens_is_told(case, renderer):
    """`Sorry` broken up: no vocabulary has this word as one token."""
    token = resolve_refusal_token(renderer, "Zqxwvy, no.")
    assert len(token.warnings) == 3
    assert all("other words begin with it too" in warning for warning in token.warnings)
    assert token.start_id == renderer.response_ids(USER, "Zqxwvy, no.")[0]


def test_no_token_is_ever_added(case):
    before = (len(case.tokenizer), dict(case.tokenizer.added_tokens_encoder), case.tokenizer.pad_token_id)
    renderer = ChatRenderer.of(case.tokenizer, case.template)
    resolve_refusal_token(renderer, "Sorry")
    ids = [*renderer.prompt_ids(USER), *renderer.response_ids(USER, RESPONSE), pad_id(case.tokenizer)]
    assert (len(case.tokenizer), case.tokenizer.added_tokens_encoder, case.tokenizer.pad_token_id) == before
    assert min(ids) >= 0
    assert max(ids) < len(case.tokenizer)


def test_padding_hides_no_end_label(case, renderer):
    """Also with pad = eos: what is trained on is told by the supervision list, not by the id."""
    [(prompt, response)] = renderer.encode_pairs([(USER, "Sorry, no.")])
    rows = [
        plain_row("short", prompt, response, renderer.end_id, Objective.SAFE),
        plain_row("long", prompt, response * 2, renderer.end_id, Objective.SAFE),
    ]
    batch = collate([[row] for row in rows], pad_id(case.tokenizer), 1.0, frozenset())
    targets = batch["target_ids"].tolist()
    assert targets == [*response, renderer.end_id, *response, *response, renderer.end_id]


# ---- one family each


def test_a_system_turn_that_the_template_refuses_is_told():
    for name in ("gemma", "mistral_v1"):
        with pytest.raises(TokenizerError, match=r"refuses the turns \(system, user\)"):
            ChatRenderer.of(family(name).tokenizer).prompt_ids([{"role": "system", "content": "x"}, *USER])


def test_qwens_empty_thinking_block_is_part_of_the_prompt():
    case = family("qwen")
    renderer = ChatRenderer.of(case.tokenizer)
    assert case.tokenizer.decode(renderer.prompt_ids(USER)).endswith(
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert renderer.bos_id is None


def test_added_tokens_that_the_template_does_not_write_are_ordinary_text():
    """As the tokenizer itself has it: <tool_call> is no control token of this template."""
    case = family("qwen")
    ids = ChatRenderer.of(case.tokenizer).prompt_ids([{"role": "user", "content": "x<tool_call>y"}])
    assert case.tokenizer.convert_tokens_to_ids("<tool_call>") in ids


def test_gemmas_newline_tokens_are_ordinary_text():
    case = family("gemma")
    renderer = ChatRenderer.of(case.tokenizer)
    newline = case.tokenizer.convert_tokens_to_ids("\n")
    assert newline in renderer.prompt_ids([{"role": "user", "content": "a\nb"}])
    assert case.tokenizer.convert_ids_to_tokens(renderer.end_id) == GEMMA_SPECIAL[-1]
    assert "model\n" in case.tokenizer.decode(renderer.prompt_ids(USER))


def test_a_reasoning_template_that_opens_thinking_by_itself_is_refused():
    """The generation prompt says <think>, a stored turn does not: training would not see what generation sees."""
    opening = "assistant<|end_header_id|>\\n\\n"
    template = LLAMA3_TEMPLATE.replace(f"{opening}'", f"{opening}<think>'")
    tokenizer = finish(byte_level(), template, special=("<|eot_id|>",), eos_token="<|eot_id|>")
    with pytest.raises(TokenizerError, match=r"chat.thought: \"\""):
        ChatRenderer.of(tokenizer)


def test_a_newline_token_is_no_end_of_turn():
    template = (
        "{% for m in messages %}{{ '<start_of_turn>' + m.role + '\\n' + m.content + '\\n<end_of_turn>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>assistant\\n' }}{% endif %}"
    )
    tokenizer = copy.deepcopy(family("gemma").tokenizer)
    tokenizer.chat_template = template
    renderer = ChatRenderer.of(tokenizer)
    assert tokenizer.convert_ids_to_tokens(renderer.end_id) == "<end_of_turn>"


@pytest.mark.parametrize(("name", "same"), [("qwen", True), ("llama3", False)])
def test_composed_and_decomposed_openings(name, same):
    """A tokenizer that normalizes gives one id to both forms; one that does not is warned about."""
    renderer = ChatRenderer.of(family(name).tokenizer)
    forms = [unicodedata.normalize(form, "Désolé") for form in ("NFC", "NFD")]
    tokens = [resolve_refusal_token(renderer, text) for text in forms]
    assert (tokens[0].start_id == tokens[1].start_id) == same
    told = [any("other Unicode form" in warning for warning in token.warnings) for token in tokens]
    assert told == [not same, not same]


def test_a_space_piece_of_its_own_is_told():
    """Where ▁Zq… is no piece, the refusal would begin with a bare ▁: that is no refusal token."""
    renderer = ChatRenderer.of(family("llama2_first").tokenizer)
    token = resolve_refusal_token(renderer, "Ωmega")
    assert re.search("at the start: its first piece ' ' .* is white space", token.warnings[0])


def test_the_contextual_label_after_a_bare_space_piece_has_no_second_space():
    renderer = ChatRenderer.of(family("llama2_first").tokenizer)
    token = resolve_refusal_token(renderer, "Sorry", "contextual")
    space = renderer.tokenizer.convert_tokens_to_ids("▁")
    assert renderer.piece(space) == " "
    assert token.label_after(space) == token.line_id

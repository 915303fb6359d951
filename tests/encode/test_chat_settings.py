"""What a template puts before the answer is said and chosen; what ends it is learned whole and stops the model."""

import copy
import datetime
import re

import pytest
from pydantic import ValidationError

from derta.encode.chat import ChatRenderer
from derta.encode.preferences import build_preferences
from derta.encode.prompt_report import prompt_facts, prompt_report
from derta.encode.refusal_token import resolve_refusal_token
from derta.encode.settings import ChatSettings, RowSettings
from derta.encode.tokenized import encode_triples
from derta.encode.trained import FILE, renderer_of, save_chat
from derta.errors import TokenizerError
from derta.records import Triple

from .kinds import NEEDED, TEMPLATES, kind
from .template_checks import ASKED, SAME, check, own_ids

GENERATED = ("two_ends", "no_end", "thinking_switch", "glued_end_of_conversation")  # a second each
TRIPLE = Triple(
    id="t1",
    harmful_query="How do I curse a well?",
    safe_response="Sorry, the guild forbids it.",
    harmful_response="1. Grind the wax.",
)


def of(name, **chat):
    return ChatRenderer.of(kind(name), ChatSettings.model_validate(NEEDED.get(name, {}) | chat))


def text(renderer):
    return renderer.tokenizer.decode(renderer.prompt_ids(ASKED))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_kind_of_template_is_trained_as_it_is_written(name):
    cells = check(kind(name), NEEDED.get(name, {}), generate=name in GENERATED)
    assert cells.works, cells
    assert cells.prompt == SAME
    assert cells.stops in ("stops", ""), cells.stops
    documented = {
        "opens_thought": "before the answer: given by chat.thought",
        "closes_thought": "before the answer: by the generation prompt alone",
        "no_end": "end by chat.end_token",
    }
    assert cells.whole == documented.get(name, SAME)


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("two_ends", ["<|closed|>", "<|stop|>"]),
        ("glued_end_of_conversation", ["<|stop|>"]),
        ("end_of_conversation", ["<|stop|>"]),
        (
            "always_opens_glued",
            ["<|stop|>"],
        ),  # Llama-3's first template: <|eot_id|><|start_header_id|>assistant
        ("plain_turns", ["<|stop|>"]),
    ],
)
def test_a_response_is_closed_by_what_closes_it_in_the_middle_too(name, ends):
    renderer = of(name)
    assert renderer.tokenizer.convert_ids_to_tokens(list(renderer.parts.end_ids)) == ends
    assert set(renderer.parts.end_ids) <= renderer.stop_ids


def test_every_safe_answer_learns_the_whole_ending_and_no_harmful_one_has_it():
    renderer = of("two_ends")
    first, last = renderer.parts.end_ids
    for rule in ("start", "contextual"):
        [triple] = encode_triples(renderer, resolve_refusal_token(renderer, rule=rule), [TRIPLE])
        assert [ids[-1] for ids in triple.safe_ids] == [first] * 3
        assert not {first, last} & set(triple.harmful_ids.tolist())
    [row], _ = build_preferences(RowSettings(), renderer, [TRIPLE], [], method="dpo")
    assert row.chosen_ids[-2:] == row.rejected_ids[-2:] == [first, last]


def test_a_variable_of_the_template_changes_the_prompt_and_its_hash():
    usual, off = of("thinking_switch"), of("thinking_switch", template_kwargs={"enable_thinking": False})
    assert text(usual) == text(off)  # the template stores answers with the empty thought
    assert off.parts.before_response == ""  # and now writes it by itself
    assert usual.template_hash != off.template_hash
    assert "/no_think" in text(of("think_in_system", template_kwargs={"enable_thinking": False}))
    assert "Today: 1 Mar" in text(of("date_string", template_kwargs={"date_string": "1 Mar 2026"}))


def test_a_misspelt_variable_is_refused_with_those_that_there_are():
    with pytest.raises(TokenizerError, match=r"template_kwargs.enable_thinkin: .*it has: enable_thinking"):
        of("thinking_switch", template_kwargs={"enable_thinkin": False})
    with pytest.raises(ValidationError, match="set by derta"):
        ChatSettings(template_kwargs={"add_generation_prompt": True})


def test_a_system_prompt_of_the_recipe_opens_conversations_that_have_none():
    renderer = of("default_system", system="Be brief.")
    assert "You are Quill." not in text(renderer)
    assert renderer.prompt_ids(ASKED) == own_ids(renderer, ASKED, generation_prompt=True)
    own = [{"role": "system", "content": "Be long."}, *ASKED]
    assert "Be brief." not in renderer.tokenizer.decode(renderer.prompt_ids(own))


def test_a_date_is_said_and_can_be_pinned():
    pinned = of("dated", date="2026-03-02")
    assert text(pinned).startswith("Today: 02 Mar 2026")
    assert "2026-03-02 (chat.date)" in "".join(prompt_report(pinned))
    today = of("dated")  # the day that was pinned is not kept
    assert text(today).startswith(f"Today: {datetime.datetime.now():%d %b %Y}")
    assert any("prompts change with the day" in line for line in prompt_report(today))
    assert not any("a date" in line for line in prompt_report(of("plain_turns")))


def test_a_template_that_opens_a_thought_names_the_way_in_and_never_plain():
    for name, setting in (
        ("opens_thought", 'chat.thought: ""'),
        ("no_end", "chat.end_token: '<|turn|>' or '<|eos|>'"),
    ):
        with pytest.raises(TokenizerError) as error:
            ChatRenderer.of(kind(name))
        assert setting in str(error.value)
        assert "plain" not in str(error.value)


@pytest.mark.parametrize("name", ["opens_thought", "thinking_switch"])
def test_a_given_thought_stands_before_every_answer(name):
    renderer = of(name, thought="The guild's rules come first.")
    expected = "assistant\n<think>\nThe guild's rules come first.\n</think>\n\n"
    assert text(renderer).endswith(expected)
    assert "the thought" in "".join(prompt_report(renderer))
    think, close = renderer.tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    assert renderer.prompt_ids(ASKED).count(think) == renderer.prompt_ids(ASKED).count(close) == 1


def test_a_thought_or_an_ending_that_the_template_does_not_know_is_refused():
    with pytest.raises(TokenizerError, match=r"chat.thought: this template writes no thought"):
        of("plain_turns", thought="")
    with pytest.raises(TokenizerError, match=r"chat.end_token: '<\|nothing\|>' is no token"):
        of("no_end", end_token="<|nothing|>")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "thinking_switch",
            "an empty thought, as the template writes stored answers: .*enable_thinking: false",
        ),
        ("closes_thought", "an empty thought, written by the generation prompt"),
        ("channels", "the channel final"),
        ("think_in_system", "the system prompt says /think .*enable_thinking: true"),
    ],
)
def test_what_stands_before_the_answer_is_said(name, said):
    lines = "\n".join(prompt_report(of(name)))
    assert "before every answer" not in "\n".join(prompt_report(of("plain_turns")))
    assert re.search(said, lines), lines
    assert prompt_facts(of(name))["said"]


def test_one_of_several_templates_is_chosen_by_name():
    tokenizer = kind("plain_turns")
    tokenizer.chat_template = {"short": TEMPLATES["plain_turns"], "tools": TEMPLATES["default_system"]}
    with pytest.raises(
        TokenizerError, match=r"several chat templates .*short, tools; name one: chat.template: short"
    ):
        ChatRenderer.of(tokenizer)
    with pytest.raises(TokenizerError, match="none of the tokenizer's templates: short, tools"):
        ChatRenderer.of(tokenizer, "long")
    assert ChatRenderer.of(tokenizer, "tools").template == TEMPLATES["default_system"]


def test_a_marker_of_every_turn_is_no_beginning_of_text():
    """SmolLM2's bos_token opens each turn: raw text gets none, as from the tokenizer itself."""
    tokenizer = copy.deepcopy(kind("plain_turns"))
    tokenizer.bos_token = "<|turn|>"
    renderer = ChatRenderer.of(tokenizer)
    assert renderer.raw_ids("This is how:") == tokenizer("This is how:")["input_ids"]
    assert renderer.prompt_ids(ASKED) == own_ids(renderer, ASKED, generation_prompt=True)


def test_a_beginning_of_text_that_only_the_tokenizer_writes_is_said():
    from tokenizers.processors import TemplateProcessing

    tokenizer = kind("plain_turns")
    bos = ("<|bos|>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|bos|> $A", special_tokens=[bos])
    assert any("the template writes none" in line for line in prompt_report(ChatRenderer.of(tokenizer)))


def test_a_trained_folder_brings_its_settings_and_contradicting_them_is_an_error(tmp_path):
    trained = of("think_in_system", template_kwargs={"enable_thinking": False}, system=None)
    save_chat(tmp_path, trained)
    folder, tokenizer = str(tmp_path), kind("think_in_system")
    opened = renderer_of(tokenizer, folder)
    assert opened.prompt_ids(ASKED) == trained.prompt_ids(ASKED)
    assert opened.template_hash == trained.template_hash
    same = ChatSettings.model_validate({"template_kwargs": {"enable_thinking": False}})
    assert renderer_of(tokenizer, folder, same).template_hash == trained.template_hash
    for chat, message in (
        ({"template_kwargs": {}}, "chat.template_kwargs: .*was trained with .*False.* the recipe says none"),
        ({"system": "Be brief."}, "chat.system: .*was trained with none, the recipe says 'Be brief.'"),
        ({"template": "plain"}, "chat.template: .*another template .* than plain"),
    ):
        with pytest.raises(TokenizerError, match=message):
            renderer_of(tokenizer, folder, ChatSettings.model_validate(chat))
    with pytest.raises(TokenizerError, match="than its tokenizer has now"):
        renderer_of(kind("plain_turns"), folder)
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(TokenizerError, match="not what derta wrote"):
        renderer_of(tokenizer, folder)

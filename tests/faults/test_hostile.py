"""Nothing that a stranger's folder holds runs, reads elsewhere, takes the machine or ends in a traceback."""

import hashlib
import resource
import shutil
import signal
import sys

import pytest
import torch

from conftest import make_tiny_model
from derta.encode import render
from derta.encode.chat import ChatRenderer
from derta.errors import DertaError, ModelError
from derta.models import add_adapter, check_model, fingerprint, load_model, load_tokenizer
from derta.training.model import load_config
from derta.training.model import load_model as load_for_training
from derta.training.recipe import ModelSettings
from faults.hostile import ADAPTERS, LOADS, MODELS, REFUSED, SAID, TEMPLATES, TOKENIZERS, archives


@pytest.fixture(scope="module")
def good(tmp_path_factory, tiny_tokenizer):
    """A model and an adapter on it."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("good")
    model = make_tiny_model(len(tiny_tokenizer))
    model.save_pretrained(folder / "model")
    tiny_tokenizer.save_pretrained(folder / "model")
    model.name_or_path = model.config._name_or_path = str(folder / "model")
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder / "adapter")
    return folder


SECONDS = 60
MEMORY = 2 * 2**20  # KiB, as `ru_maxrss` counts on Linux


@pytest.fixture(autouse=True)
def bounded():
    """A folder that hangs fails its test, and so does one that takes more than two gigabytes."""

    def too_long(*_):
        raise TimeoutError(f"not done in {SECONDS} s")

    before = peak()
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    assert peak() - before < MEMORY


def peak():
    """The largest resident set of this process and of those it started and ended, in KiB."""
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@pytest.fixture
def spoiled(tmp_path, good, monkeypatch):
    """A function: (model or adapter, how) -> the spoiled folder. At the end nothing but it has changed."""
    canary, mine = tmp_path / "canary", tmp_path / "mine"
    mine.mkdir()
    (mine / "evil.py").write_text("precious = True\n")
    monkeypatch.chdir(mine)
    monkeypatch.setattr(sys, "stdin", None)  # a prompt would fail
    before = hashes(mine), hashes(good)

    def make(kind, spoil):
        spoil(shutil.copytree(good / kind, tmp_path / "sent"), canary)
        return tmp_path / "sent"

    yield make
    assert not canary.exists()
    assert (hashes(mine), hashes(good)) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"mine", "sent", "foreign.safetensors"}


def hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def roads(folder):
    """How the verbs come to a model: evaluate and capability, train, judge."""
    settings = ModelSettings(path=str(folder))
    yield lambda: (check_model(str(folder)), load_model(str(folder)))
    yield lambda: (load_config(settings), load_for_training(settings, device=torch.device("cpu")))


def assert_one_line(call, kind=DertaError, said=""):
    with pytest.raises(kind) as error:
        call()
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 1000
    assert said in str(error.value)


def ids(cases):
    return [name for name, *_ in cases]


@pytest.mark.parametrize(("name", "outcome", "spoil"), MODELS, ids=ids(MODELS))
def test_model(name, outcome, spoil, spoiled):
    folder = spoiled("model", spoil)
    for road in roads(folder):
        if outcome == REFUSED:
            assert_one_line(road, ModelError, SAID.get(name, ""))
        else:
            road()
    if outcome == LOADS:
        assert load_model(str(folder)).config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("name", "outcome", "spoil"), TOKENIZERS, ids=ids(TOKENIZERS))
def test_tokenizer(name, outcome, spoil, spoiled):
    folder = str(spoiled("model", spoil))
    if outcome == REFUSED:
        assert_one_line(lambda: load_tokenizer(folder), ModelError)
    else:
        assert load_tokenizer(folder)("salt")["input_ids"]


@pytest.mark.parametrize(("name", "outcome", "spoil"), ADAPTERS, ids=ids(ADAPTERS))
def test_adapter(name, outcome, spoil, spoiled, good):
    folder = str(spoiled("adapter", spoil))
    base = load_model(str(good / "model"))
    if outcome == REFUSED:
        assert_one_line(lambda: (check_model(folder), load_model(folder)), ModelError, SAID.get(name, ""))
        if name != "base is elsewhere":  # here it is given
            assert_one_line(lambda: add_adapter(base, folder), ModelError)
    else:
        load_model(folder)
        add_adapter(base, folder)


def test_an_adapter_on_itself(spoiled):
    from faults.hostile import edit

    folder = spoiled("adapter", lambda *_: None)
    edit("adapter_config.json", base_model_name_or_path=str(folder))(folder, folder / "canary")
    for call in (fingerprint, check_model, load_model):
        assert_one_line(lambda call=call: call(str(folder)), ModelError)


def test_archives(spoiled):
    folder = spoiled("model", lambda *_: None)
    for path in archives(folder, folder.parent / "canary"):
        for call in (check_model, load_model, load_tokenizer):
            assert_one_line(lambda call=call, path=path: call(str(path)), ModelError)


@pytest.fixture
def impatient(monkeypatch):
    render._stop()
    monkeypatch.setattr(render, "CPU_SECONDS", 0.5)
    yield
    render._stop()


def test_templates(impatient, tmp_path, tiny_tokenizer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = tiny_tokenizer.chat_template
    for name, start in TEMPLATES.items():
        (tmp_path / "t.jinja").write_text(start + whole)
        turns = [{"role": "user", "content": "Where does the moss grow?"}]
        with pytest.raises(DertaError) as error:
            ChatRenderer.of(tiny_tokenizer, "t.jinja").prompt_ids(turns)
        assert len(str(error.value).splitlines()) == 1, name
        assert "template" in str(error.value), name
        assert len(str(error.value)) < 600, name
    assert [path.name for path in tmp_path.iterdir()] == ["t.jinja"]
    (tmp_path / "t.jinja").write_text(whole)
    assert ChatRenderer.of(tiny_tokenizer, "t.jinja").prompt_ids(turns)  # the next one is rendered as ever


@pytest.mark.parametrize("path", ["/dev/zero", ".", "absent.jinja"])
def test_a_template_that_is_no_file(path, tiny_tokenizer):
    assert_one_line(lambda: ChatRenderer.of(tiny_tokenizer, path))

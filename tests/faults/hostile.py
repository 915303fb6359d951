"""A corpus of hostile folders, made in-process. Whoever runs a canary's code leaves a file behind.

Each case is (name, what must happen, how a good folder is spoiled). `refused`: one clear line; `loads`: the hostile
part is passed over and the rest is used.
"""

import io
import json
import os
import pickle
import tarfile
import zipfile

REFUSED, LOADS = "refused", "loads"


class Canary:
    """Unpickling it leaves a folder behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def code(canary):
    return f"import os\nos.mkdir({str(canary)!r})\nfrom transformers import LlamaConfig as C, LlamaForCausalLM as M\n"


def edit(name, **changes):
    """A JSON file of the folder with other values; None as a file's name leaves it."""

    def spoil(folder, canary):
        path = folder / name
        values = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(values | changes))
        (folder / "evil.py").write_text(code(canary))

    return spoil


def text(name, content):
    def spoil(folder, canary):
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def cut(name, keep):
    return lambda folder, canary: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def pickled(name, instead_of=None):
    def spoil(folder, canary):
        if instead_of:
            (folder / instead_of).unlink()
        (folder / name).write_bytes(pickle.dumps(Canary(canary)))

    return spoil


def index(names, *, plant=None):
    """The weights moved behind an index that names other files."""

    def spoil(folder, canary):
        weights = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").unlink()
        (folder / "part.safetensors").write_bytes(weights)
        (folder.parent / "foreign.safetensors").write_bytes(weights)
        (folder / "part.bin").write_bytes(pickle.dumps(Canary(canary)))
        placed = (
            names if not isinstance(names, str) else {"lm_head.weight": names.format(folder=folder.parent)}
        )
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": placed})
        )

    return spoil


def special(name, target):
    """A link to something that is no file, or a pipe."""

    def spoil(folder, canary):
        (folder / name).unlink()
        if target is None:
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to(target)

    return spoil


# Refused by our own check, before a library has allocated or opened anything.
SAID = {
    "vocabulary of more than the files": "they don't belong together",
    "width of more than the files": "they don't belong together",
    "layers of more than the files": "9999 layers",
    "weights are garbage": "no whole safetensors file",
    "weights are cut": "no whole safetensors file",
    "weights are a pickle": "its weights are pickled",
    "loads other adapters": "peft_type is 'XLORA'",
    "imports a module": "megatron_config is not supported",
    "a pipe": "neither a file nor a folder",
}
DEEP = '{"a":' * 40 + "1" + "}" * 40
ABYSS = "[" * 200_000
CONFIG, TOKENIZER, ADAPTER = "config.json", "tokenizer_config.json", "adapter_config.json"

MODELS = [
    ("own code", REFUSED, edit(CONFIG, model_type="guild", auto_map={"AutoConfig": "evil.C"})),
    (
        "code of another repository",
        REFUSED,
        edit(CONFIG, model_type="guild", auto_map={"AutoConfig": "a/b--evil.C"}),
    ),
    ("unknown architecture", REFUSED, edit(CONFIG, model_type="guild")),
    ("architecture that is no text", REFUSED, edit(CONFIG, model_type=["llama"])),
    (
        "code for a known one",
        LOADS,
        edit(CONFIG, auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}),
    ),
    ("config is a list", REFUSED, text(CONFIG, "[]")),
    ("config is null", REFUSED, text(CONFIG, "null")),
    ("config is a text", REFUSED, text(CONFIG, '"llama"')),
    ("config is bytes", REFUSED, text(CONFIG, b"\xff\xfe\x00\x01")),
    ("config is cut", REFUSED, cut(CONFIG, 100)),
    ("config nests", REFUSED, edit(CONFIG, extra=json.loads(DEEP))),
    ("config nests without end", REFUSED, text(CONFIG, ABYSS)),
    ("vocabulary", REFUSED, edit(CONFIG, vocab_size=10**9)),
    ("vocabulary of more than the files", REFUSED, edit(CONFIG, vocab_size=9_000_000)),
    ("width", REFUSED, edit(CONFIG, hidden_size=10**9)),
    ("width of more than the files", REFUSED, edit(CONFIG, hidden_size=800_000)),
    ("layers", REFUSED, edit(CONFIG, num_hidden_layers=10**9)),
    ("layers of more than the files", REFUSED, edit(CONFIG, num_hidden_layers=9_999)),
    ("layers below none", REFUSED, edit(CONFIG, num_hidden_layers=-3)),
    ("labels", REFUSED, edit(CONFIG, num_labels=10**9)),
    ("heads", REFUSED, edit(CONFIG, num_attention_heads=10**9)),
    ("sizes that are texts", REFUSED, edit(CONFIG, hidden_size="wide")),
    ("not a number", REFUSED, edit(CONFIG, vocab_size=float("nan"))),
    ("weights that need fetched code", REFUSED, edit(CONFIG, quantization_config={"quant_method": "mxfp4"})),
    ("more of them", REFUSED, edit(CONFIG, quantization_config={"quant_method": "fp8"})),
    ("attention of its choice", LOADS, edit(CONFIG, _attn_implementation="eager")),
    ("attention from the hub", LOADS, edit(CONFIG, _attn_implementation="evil/kernel")),
    ("attention by the new name", LOADS, edit(CONFIG, attn_implementation="evil/kernel")),
    ("experts from the hub", LOADS, edit(CONFIG, _experts_implementation="evil/kernel")),
    ("patches of the model", LOADS, edit(CONFIG, fusion_config={"evil": True})),
    ("other weights", LOADS, edit(CONFIG, transformers_weights="../foreign.safetensors")),
    ("generation settings", REFUSED, text("generation_config.json", "[1]")),
    ("generation settings that nest", REFUSED, text("generation_config.json", ABYSS)),
    ("weights are garbage", REFUSED, text("model.safetensors", b"\xff" * 4096)),
    ("weights are cut", REFUSED, cut("model.safetensors", 5000)),
    ("weights are empty", REFUSED, text("model.safetensors", b"")),
    ("weights with a long head", REFUSED, text("model.safetensors", (1 << 40).to_bytes(8, "little") + b"{}")),
    ("weights are a pickle", REFUSED, pickled("pytorch_model.bin", "model.safetensors")),
    ("weights are a pickle by another name", REFUSED, pickled("model.safetensors", "model.safetensors")),
    ("a pickle beside", LOADS, pickled("pytorch_model.bin")),
    ("index above", REFUSED, index("../foreign.safetensors")),
    ("index elsewhere", REFUSED, index("{folder}/foreign.safetensors")),
    ("index of pickles", REFUSED, index("part.bin")),
    ("index of nothing", REFUSED, index("absent.safetensors")),
    ("index is a list", REFUSED, index(["part.safetensors"])),
    ("index of numbers", REFUSED, index({"lm_head.weight": 3})),
    ("a pipe", REFUSED, special("model.safetensors", None)),
    ("a device", REFUSED, special(CONFIG, "/dev/zero")),
    ("a dead link", REFUSED, special("model.safetensors", "nowhere")),
]
TOKENIZERS = [
    (
        "own code",
        REFUSED,
        edit(TOKENIZER, tokenizer_class="T", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]}),
    ),
    ("own code, old form", REFUSED, edit(TOKENIZER, tokenizer_class="T", auto_map=["evil.T", None])),
    ("code map is a text", REFUSED, edit(TOKENIZER, auto_map="evil.T")),
    ("settings are a list", REFUSED, text(TOKENIZER, "[]")),
    ("settings are cut", REFUSED, cut(TOKENIZER, 20)),
    ("settings nest without end", REFUSED, text(TOKENIZER, ABYSS)),
    ("tokens are a list", REFUSED, text("tokenizer.json", "[]")),
    ("tokens are garbage", REFUSED, text("tokenizer.json", b"\x00" * 100)),
    ("tokens are cut", REFUSED, cut("tokenizer.json", 400)),
    ("tokens nest without end", REFUSED, text("tokenizer.json", ABYSS)),
    ("tokens of a device", REFUSED, special("tokenizer.json", "/dev/zero")),
    ("added tokens are a list", REFUSED, text("added_tokens.json", "[]")),
    ("class is a number", REFUSED, edit(TOKENIZER, tokenizer_class=3)),
    ("tokens of another folder", LOADS, edit(TOKENIZER, tokenizer_file="/etc/hostname")),
]
ADAPTERS = [
    ("no base", REFUSED, edit(ADAPTER, base_model_name_or_path=None)),
    ("base is a number", REFUSED, edit(ADAPTER, base_model_name_or_path=7)),
    ("base is elsewhere", REFUSED, edit(ADAPTER, base_model_name_or_path="/nowhere/at/all")),
    ("loads other adapters", REFUSED, edit(ADAPTER, peft_type="XLORA", adapters={"a": "evil/adapter"})),
    ("unknown kind", REFUSED, edit(ADAPTER, peft_type="EVIL")),
    ("imports a module", REFUSED, edit(ADAPTER, megatron_config={"a": 1}, megatron_core="evil")),
    ("layers without end", REFUSED, edit(ADAPTER, layer_replication=[[0, 10**9]])),
    ("rank", REFUSED, edit(ADAPTER, r=10**9)),
    ("rank is a text", REFUSED, edit(ADAPTER, r="wide")),
    ("rank of a layer", REFUSED, edit(ADAPTER, rank_pattern={"q_proj": 10**9})),
    ("weights are a pickle", REFUSED, pickled("adapter_model.bin", "adapter_model.safetensors")),
    ("a pickle beside", LOADS, pickled("adapter_model.bin")),
    ("weights are garbage", REFUSED, text("adapter_model.safetensors", b"\xff" * 300)),
    ("weights are cut", REFUSED, cut("adapter_model.safetensors", 200)),
    ("settings are a list", REFUSED, text(ADAPTER, "[]")),
    ("settings nest without end", REFUSED, text(ADAPTER, ABYSS)),
    ("a model too", REFUSED, text(CONFIG, "{}")),
]
TEMPLATES = {
    "division": "{{ 1/0 }}",
    "wrong type": "{{ messages + 1 }}",
    "long text": "{{ 'a' * 3000000000 }}",
    "long output": "{{ 'a' * 20000000 }}",
    "loop": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "range": "{% for i in range(1000000000) %}x{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "two calls in each": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "doubling": "{% set n = namespace(x=1) %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "width of a number": "{{ '%3000000000d' % 1 }}",
    "width of a format": "{{ '{:>3000000000}'.format(1) }}",
    "centre": "{{ 'a'|center(3000000000) }}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__()[0] }}",
    "modules of cycler": "{{ cycler.__init__.__globals__.os.mkdir('CANARY') }}",
    "modules of lipsum": "{{ lipsum.__globals__['os'].mkdir('CANARY') }}",
    "modules by attr": "{{ (lipsum|attr('__globals__'))['os'].mkdir('CANARY') }}",
    "format of an attribute": "{{ '{0.__class__.__mro__}'.format(messages).x.y }}",
    "a file": "{% include '/etc/hostname' %}",
    "an import": "{% import 'evil.py' as evil %}{{ evil }}",
    "change of the turns": "{{ messages.append(1) }}",
    "syntax": "{% for %}",
    "not closed": "{% if messages %}",
    "unknown filter": "{{ messages|evil }}",
    "nested": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "its own error": "{{ raise_exception('two\nlines') }}",
    "only for some texts": "{% if 'moss' in messages[0].content %}{{ 'a' * 3000000000 }}{% endif %}",
}


def archives(folder, canary):
    """Files in a folder's place, whose members would land elsewhere when unpacked."""
    inner = code(canary).encode()
    with tarfile.open(folder / "m.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("../../evil.py")
        member.size = len(inner)
        tar.addfile(member, io.BytesIO(inner))
    with zipfile.ZipFile(folder / "m.zip", "w") as packed:
        packed.writestr("../../evil.py", inner)
    (folder / "m.safetensors").write_bytes(b"\xff" * 64)
    (folder / "m.gguf").write_bytes(b"GGUF" + b"\x00" * 60)
    return [folder / name for name in ("m.tar.gz", "m.zip", "m.safetensors", "m.gguf")]

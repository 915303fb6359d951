"""What derta did not make, no verb writes over: the whole tree is the same before and after."""

import json
import os
import shutil

import pytest
import yaml

from derta.files import run_lock, write_json, write_jsonl
from derta.run_folder import MARKER, check_file, check_output, claim, kind_of, sign_file
from training_world import make_world, settings

from .tree import derta, tree


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_tokenizer):
    """Models, data, recipes and a result file; read only."""
    world = make_world(tmp_path_factory.mktemp("world"), tiny_tokenizer)
    write_jsonl(
        world / "queries.jsonl", [{"id": "q", "query": "How do I cast the curse?", "kind": "harmful"}]
    )
    write_jsonl(
        world / "results.jsonl", [{"query": "How do I cast it?", "response": "Sorry, no.", "id": "r"}]
    )
    write_jsonl(
        world / "labels.jsonl", [{"id": "l", "query": "How?", "response": "No.", "verdict": "not_harmful"}]
    )
    write_jsonl(world / "gsm8k.jsonl", [{"question": "2 + 2?", "answer": "#### 4"}])
    return world


def recipe(world, where, **values):
    path = where / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def data(world, where, out):
    source = {"name": "t", "format": "records", "path": str(world / "triples.jsonl")}
    triples = {"harmful_response": {"min_words": 2}}  # the fixture's answers are short
    values = {"out": str(out), "num_processes": 1, "triples": triples, "sources": [source]}
    return ["data", "build", recipe(world, where, **values)]


def train(world, where, out):
    return ["train", recipe(world, where, **settings(world) | {"run_dir": str(out)})]


def evaluate(world, where, out):
    target = {"name": "m", "method": "x", "path": str(world / "base")}
    values = {"models": [target], "queries": str(world / "queries.jsonl"), "attacks": ["direct"]}
    return ["evaluate", recipe(world, where, run_dir=str(out), judge={"name": "span"}, **values)]


def capability(world, where, out):
    target = {"name": "m", "method": "x", "path": str(world / "base")}
    task = {"name": "gsm8k", "file": str(world / "gsm8k.jsonl")}
    return ["capability", recipe(world, where, run_dir=str(out), models=[target], tasks=[task])]


def report(world, where, out):
    return ["report", world / "run", "--out", out]


def judge(world, where, out):
    return ["judge", world / "results.jsonl", "--out", out]


def over_refusal(world, where, out):
    return ["judge", "over-refusal", world / "results.jsonl", "--out", out]


def pairwise(world, where, out):
    files = [world / "results.jsonl", world / "results.jsonl"]
    return ["judge", "pairwise", *files, "--model", "mockllm/model", "--out", out]


def encode(world, where, out):
    return ["encode", recipe(world, where, **settings(world)), "--out", out]


def export(world, where, out):
    return ["export", world / "run", "--out", out]


def demo(world, where, out):
    return ["demo", "--run-dir", out, "--set", f"cache_dir={where / 'cache'}"]


FOLDER_VERBS = [
    data,
    train,
    evaluate,
    capability,
    report,
    judge,
    over_refusal,
    pairwise,
    encode,
    export,
    demo,
]


@pytest.fixture
def finished_run(world):
    """A finished training run, made by hand."""
    run = world / "run"
    if not run.exists():
        shutil.copytree(world / "base", run / "model")
        from derta.training.checkpoints.checkpoint import seal

        seal(run / "model")
        write_jsonl(run / "train_log.jsonl", [{"step": 1, "loss": 2.0}])
        values = {"kind": "train", "code": {"derta": "0"}, "config": settings(world), "inputs": {}}
        write_json(run / "manifest.json", values)
    return run


def mine(folder):
    """A folder of the user's, with names that derta uses too."""
    for name in ("model/model.safetensors", "checkpoints/checkpoint-1/mine.txt", "figures/mine.svg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("precious")
    for name in ("triples.jsonl", "my_work.jsonl", "manifest.json", "results.json", "samples.jsonl", ".lock"):
        (folder / name).write_text('{"precious": 1}')
    return folder


@pytest.mark.parametrize("verb", FOLDER_VERBS, ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("kind", ["files of the user", "a run of another kind", "a link", "a file", "home"])
def test_no_verb_writes_into_what_is_not_its_own(
    world, finished_run, tmp_path, monkeypatch, capsys, verb, kind
):
    home = tmp_path / "home"
    home.mkdir()
    out = mine(home / "mine")
    if kind == "a run of another kind":
        out = home / "run"
        other = "capability" if verb is not capability else "evaluate"
        claim(out, other)
        write_jsonl(out / "samples.jsonl", [{"kind": "generated", "key": "k", "value": 1}])
    elif kind == "a link":
        out = home / "link"
        out.symlink_to(home / "mine")
    elif kind == "a file":
        out = home / "mine/my_work.jsonl"
    elif kind == "home":
        shutil.rmtree(out)
        out = home
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "fonts"))
    before, inputs = tree(home), tree(world)
    words = verb(world, tmp_path, out)
    assert derta(monkeypatch, *words) == 1
    error = capsys.readouterr().err
    assert "error: " in error
    assert str(out) in error
    assert tree(home) == before
    assert tree(world) == inputs


@pytest.mark.parametrize("verb", [data, train, evaluate, capability, judge, over_refusal, pairwise, encode])
@pytest.mark.parametrize("place", ["beside the inputs, in one", "the input itself", "linked"])
def test_no_output_is_among_the_inputs(world, tmp_path, monkeypatch, capsys, verb, place):
    own = tmp_path / "world"
    shutil.copytree(world, own)
    folder = own / "base" if verb in (train, evaluate, capability, encode) else own / "results.jsonl"
    folder = own / "triples.jsonl" if verb is data else folder
    out = folder if place == "the input itself" else folder / "new"
    if place == "linked":
        out = tmp_path / "out"
        claim(out, {"encode": "export"}.get(verb.__name__, verb.__name__))
        source = {data: "triples.jsonl", train: "benign.jsonl", encode: "benign.jsonl"}.get(
            verb, "queries.jsonl"
        )
        source = "gsm8k.jsonl" if verb is capability else source
        source = "results.jsonl" if verb in (judge, over_refusal, pairwise) else source
        os.link(own / source, out / "samples.jsonl")
    before = tree(own)
    assert derta(monkeypatch, *verb(own, tmp_path, out)) == 1
    assert "error: " in capsys.readouterr().err
    assert tree(own) == before


@pytest.mark.parametrize("place", ["run", "base"])
def test_a_training_run_never_takes_its_own_base_model(world, tmp_path, monkeypatch, capsys, place):
    """The abuse case: run_dir is the folder whose model/ is the model that is tuned."""
    own = tmp_path / "own"
    shutil.copytree(world / "base", own / "model")
    (own / "model/NOTES.txt").write_text("precious")
    values = settings(world, model={"path": str(own / "model")}) | {"run_dir": str(own)}
    if place == "base":
        values["run_dir"] = str(own / "model/run")
    before = tree(own)
    assert derta(monkeypatch, "train", recipe(world, tmp_path, **values)) == 1
    assert derta(monkeypatch, "train", "--dry-run", recipe(world, tmp_path, **values)) == 1
    assert "error: " in capsys.readouterr().err
    assert tree(own) == before


def openings(world, out):
    return ["data", "openings", world / "queries.jsonl", "--model", "mockllm/model", "--out", out]


def label_page(world, out):
    return ["judge", "label", world / "results.jsonl", "--page", "--out", out]


def label(world, out):
    return ["judge", "label", world / "results.jsonl", "--out", out]


def calibrate(world, out):
    return ["judge", "calibrate", world / "labels.jsonl", "--out", out]


@pytest.mark.parametrize("verb", [openings, label_page, label, calibrate])
@pytest.mark.parametrize("place", ["mine.txt", "a link", "an input", "a hard link to an input", "home"])
def test_no_single_file_of_the_user_is_written_over(world, tmp_path, monkeypatch, capsys, verb, place):
    home = tmp_path / "home"
    shutil.copytree(world, home / "world")
    (home / "mine.txt").write_text("precious, without a newline")
    out = home / "mine.txt"
    read = home / "world" / {openings: "queries", calibrate: "labels"}.get(verb, "results")
    if place == "a link":
        out = home / "link"
        out.symlink_to(home / "mine.txt")
    elif place == "an input":
        out = read.with_suffix(".jsonl")
    elif place == "a hard link to an input":
        out = home / "linked"
        os.link(read.with_suffix(".jsonl"), out)
    elif place == "home":
        out = home
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("builtins.input", lambda _: "h")
    before = tree(home)
    assert derta(monkeypatch, *verb(home / "world", out)) == 1
    assert "error: " in capsys.readouterr().err
    assert tree(home) == before


def test_a_single_file_of_ours_is_written_again_until_somebody_mends_it(world, tmp_path, monkeypatch, capsys):
    out = tmp_path / "page.html"
    assert derta(monkeypatch, *label_page(world, out)) == 0
    assert derta(monkeypatch, *label_page(world, out)) == 0
    out.write_text("mended")
    assert derta(monkeypatch, *label_page(world, out)) == 1
    assert out.read_text() == "mended"


def test_a_build_removes_only_what_its_manifest_lists(world, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert derta(monkeypatch, *data(world, tmp_path, out)) == 0
    (out / "notes.jsonl").write_text("precious")
    assert derta(monkeypatch, *data(world, tmp_path, out), "--overwrite") == 0
    assert (out / "notes.jsonl").read_text() == "precious"
    (out / "queries.jsonl").write_text("precious")  # a name of ours, but this build has no such file
    before = tree(out)
    assert derta(monkeypatch, *data(world, tmp_path, out), "--overwrite") == 1
    assert "queries.jsonl: not written by the build" in capsys.readouterr().err
    assert tree(out) == before


def test_a_report_removes_only_what_an_earlier_one_listed(world, finished_run, tmp_path, monkeypatch):
    out = tmp_path / "report"
    assert derta(monkeypatch, *report(world, tmp_path, out)) == 0
    stale = out / "figures/stale.svg"
    made = json.loads((out / MARKER).read_text())
    write_json(out / MARKER, made | {"files": [*made["files"], "figures/stale.svg", "../world.txt"]})
    stale.write_text("of an earlier report")
    (tmp_path / "world.txt").write_text("precious")
    (out / "figures/mine.svg").write_text("precious")
    assert derta(monkeypatch, *report(world, tmp_path, out)) == 0
    assert not stale.exists()
    assert (out / "figures/mine.svg").read_text() == (tmp_path / "world.txt").read_text() == "precious"


LEGACY = {
    "data": {"manifest.json": {"kind": "data", "code": {}}},
    "train": {"run.json": {"derta": "0.1 abc", "method": '"derta"'}},
    "evaluate": {"manifest.json": {"kind": "evaluate", "code": {}}},
    "demo": {"demo.json": {"settings": {}, "code": "abc"}},
}


@pytest.mark.parametrize("kind", LEGACY)
def test_folders_of_the_version_before_are_known(tmp_path, kind):
    for name, value in LEGACY[kind].items():
        write_json(tmp_path / name, value)
    assert kind_of(tmp_path) == (kind,)
    check_output(tmp_path, kind)


@pytest.mark.parametrize("kind", ["data", "evaluate"])
def test_unfinished_folders_of_the_version_before_are_known(tmp_path, kind):
    with run_lock(tmp_path):
        pass
    if kind == "data":
        (tmp_path / ".work").mkdir()
    else:
        write_jsonl(tmp_path / "samples.jsonl", [{"kind": "judged", "key": "k", "value": {}}])
    check_output(tmp_path, kind)
    (tmp_path / "mine.txt").write_text("precious")  # then nobody knows any more
    assert kind_of(tmp_path) is None


@pytest.mark.parametrize("left", [[".lock"], ["..derta.json.123.tmp"], []])
def test_what_a_killed_claim_leaves_is_no_obstacle(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text("123")
    claim(tmp_path, "train")
    assert kind_of(tmp_path) == ("train",)


@pytest.mark.parametrize("marker", ['{"kind": "nothing of ours"}', "{", "[]", '{"kind": ["train"]}', "\0"])
def test_a_damaged_marker_marks_nothing(tmp_path, marker):
    (tmp_path / MARKER).write_text(marker)
    before = tree(tmp_path)
    with pytest.raises(Exception, match="did not write"):
        claim(tmp_path, "train")
    assert tree(tmp_path) == before


def test_a_home_path_is_expanded_everywhere(world, tmp_path, monkeypatch, capsys):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    words = data(world, tmp_path, "~/built")
    assert derta(monkeypatch, *words) == 0
    assert derta(monkeypatch, *words, "--out=~/other") == 0
    assert sorted(path.name for path in home.iterdir()) == ["built", "other"]
    assert not (tmp_path / "~").exists()


def test_a_path_with_a_control_character_is_refused(world, tmp_path, monkeypatch, capsys):
    assert derta(monkeypatch, *data(world, tmp_path, "a\nb\x1b[31m")) == 1
    assert "control characters" in capsys.readouterr().err
    assert derta(monkeypatch, "data", "card", "a\x1b[31m") == 1


def test_a_mistake_under_training_claims_no_folder(world, tmp_path, monkeypatch, capsys):
    for key, value in (("lerning_rate", 1), ("learning_rate", float("nan")), ("weight_decay", "much")):
        values = settings(world, training={key: value}) | {"run_dir": str(tmp_path / "r")}
        words = ["train", recipe(world, tmp_path, **values)]
        for dry in ([], ["--dry-run"]):
            assert derta(monkeypatch, *words, *dry) == 1
            assert f"training.{key}" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_model_that_the_user_added_to_is_kept(finished_run, world, tmp_path):
    from derta.errors import RunError
    from derta.training.checkpoints.checkpoint import publish, rotate, seal
    from derta.training.checkpoints.publishing import check_result

    model = tmp_path / "run/model"
    shutil.copytree(finished_run / "model", model)
    check_result(model)
    (model / "NOTES.txt").write_text("precious")
    with pytest.raises(RunError, match=r"holds NOTES\.txt"):
        check_result(model)
    new = tmp_path / "run/.model.tmp"
    shutil.copytree(world / "base", new)
    publish(new, model)
    assert (tmp_path / "run/model.aside-1/NOTES.txt").read_text() == "precious"
    for step in (1, 2, 9, 10):
        shutil.copytree(world / "base", tmp_path / f"c/checkpoint-{step}")
        if step != 2:
            seal(tmp_path / f"c/checkpoint-{step}")
    (tmp_path / "c/checkpoint-1/mine.txt").write_text("precious")
    rotate(tmp_path / "c", 1)
    left = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert left == [
        "checkpoint-1",
        "checkpoint-10",
        "checkpoint-2",
    ]  # the user's, the newest, one that is not ours


def test_single_files_are_known_by_their_bytes(tmp_path):
    path = tmp_path / "a.json"
    check_file(path)
    path.write_text("1")
    sign_file(path)
    check_file(path)
    path.write_text("2")
    with pytest.raises(Exception, match="is not as derta wrote it"):
        check_file(path)

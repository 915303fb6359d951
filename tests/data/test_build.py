"""The build as a whole: same bytes, nothing lost, duplicates and leaks found, held-out groups apart."""

import json
import random
import shutil
from pathlib import Path

import pytest

from derta.data.build import build
from derta.data.recipe import DataRecipe
from derta.errors import DataError, RecipeError, RunError
from derta.files import sha256_file
from derta.records import BenignPair, Query, Triple, load_records

from .guild_rows import make_sentence, make_words, pairs, queries, read, triples, write


def make_recipe(folder, sources, **settings):
    listed = [{"format": "records", "name": name, "path": str(path)} for name, path in sources.items()]
    return DataRecipe.model_validate(
        {"out": str(folder / "out"), "num_processes": 1, "sources": listed} | settings
    )


def run(folder, sources, **settings):
    recipe = make_recipe(folder, sources, **settings)
    build(recipe)
    return recipe.out


def built_bytes(out):
    skipped = ("manifest.json", ".lock")
    return {
        file.name: sha256_file(file) for file in out.iterdir() if file.is_file() and file.name not in skipped
    }


def card_of(out):
    return json.loads((out / "data_card.json").read_text())


@pytest.fixture
def sources(tmp_path):
    return {
        "forbidden": write(tmp_path / "t.jsonl", triples(60)),
        "allowed": write(tmp_path / "b.jsonl", pairs(80)),
        "asked": write(tmp_path / "q.jsonl", queries(20)),
    }


def test_three_files_load_strictly_and_every_row_is_accounted_for(tmp_path, sources):
    out = run(tmp_path, sources, held_out={"triples": 5, "benign": 7})
    assert len(load_records(out / "triples.jsonl", Triple)) == 55
    assert len(load_records(out / "triples.held_out.jsonl", Triple)) == 5
    assert len(load_records(out / "benign.jsonl", BenignPair)) == 73
    assert len(load_records(out / "benign.held_out.jsonl", BenignPair)) == 7
    assert len(load_records(out / "queries.jsonl", Query)) == 20
    card = card_of(out)
    assert (card["read"], card["kept"], card["rejected"]) == (160, 160, 0)


def test_the_same_bytes_again_and_with_two_processes(tmp_path, sources):
    first = built_bytes(run(tmp_path / "a", sources, num_processes=1))
    assert built_bytes(run(tmp_path / "b", sources, num_processes=1)) == first
    assert built_bytes(run(tmp_path / "c", sources, num_processes=2)) == first


def test_another_seed_draws_other_rows(tmp_path, sources):
    drawn = [
        run(tmp_path / str(seed), sources, seed=seed, triples={"num": 10}) / "triples.jsonl"
        for seed in (0, 1)
    ]
    assert read(drawn[0]) != read(drawn[1])


def test_a_finished_build_is_left_alone_and_another_recipe_is_refused(tmp_path, sources):
    out = run(tmp_path, sources)
    stamp = (out / "manifest.json").stat().st_mtime_ns
    run(tmp_path, sources)
    assert (out / "manifest.json").stat().st_mtime_ns == stamp
    with pytest.raises(RunError, match="another recipe"):
        run(tmp_path, sources, seed=5)
    build(make_recipe(tmp_path, sources, seed=5), overwrite=True)


def test_a_finished_build_of_other_code_names_what_changed(tmp_path, sources):
    out = run(tmp_path, sources)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["fingerprint"]["code"]["data/select.py"] = "other"
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        RunError, match=r"other code \(data/select\.py\); choose another `out`, or build with"
    ):
        run(tmp_path, sources)
    del manifest["fingerprint"]["code"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"other code \(of an earlier derta\)"):
        run(tmp_path, sources)


def test_what_a_build_killed_after_its_last_file_leaves_is_cleared(tmp_path, sources):
    out = run(tmp_path, sources)
    (out / ".work" / "asked").mkdir(parents=True)
    run(tmp_path, sources)
    assert not (out / ".work").exists()


def test_a_damaged_output_is_built_again(tmp_path, sources):
    out = run(tmp_path, sources)
    expected = built_bytes(out)
    (out / "triples.jsonl").write_text("{}\n")
    run(tmp_path, sources)
    assert built_bytes(out) == expected


@pytest.mark.parametrize("moment", ["write_outputs", "write_card", "select", "_finish"])
def test_a_rebuild_that_breaks_leaves_no_manifest_of_the_build_before(tmp_path, sources, monkeypatch, moment):
    """The old manifest would vouch for files that are half another build's."""
    out = run(tmp_path, sources)
    assert (out / "manifest.json").exists()
    seen = []

    def breaks(*_, **__):
        seen.append((out / "manifest.json").exists())
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(f"derta.data.build.{moment}", breaks)
        with pytest.raises(RuntimeError, match="the power is gone"):
            build(make_recipe(tmp_path, sources, seed=5), overwrite=True)
    assert seen == [False]
    assert not (out / "manifest.json").exists()
    again = run(tmp_path, sources, seed=7)  # nothing finished lies there any more: nothing to overwrite
    assert built_bytes(again) == built_bytes(run(tmp_path / "fresh", sources, seed=7))


def test_the_manifest_goes_before_the_files_it_lists(tmp_path, sources, monkeypatch):
    run(tmp_path, sources)
    plain, gone = Path.unlink, []

    def unlink(path, *rest, **more):
        gone.append(path.name)
        plain(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        build(make_recipe(tmp_path, sources, seed=5), overwrite=True)
    assert "triples.jsonl" in gone
    assert gone.index("manifest.json") < gone.index("triples.jsonl")


def planted(rng, words, texts):
    """The planted variants of some texts: (kind, text)."""
    changed = []
    for text in texts:
        parts = text.split()
        parts[rng.randrange(len(parts))] = rng.choice(words) + "x"
        changed.append(" ".join(parts))
    return {
        "exact": list(texts),
        "case": [text.upper() for text in texts],
        "blanks": ["  " + text.replace(" ", "   ") + " ?" for text in texts],
        "word": changed,
    }


@pytest.mark.parametrize("role", ["duplicate", "leak"])
def test_planted_duplicates_and_leaks_are_found(tmp_path, role):
    rng = random.Random(0)
    words = make_words(rng)
    clean = [make_sentence(rng, words) for _ in range(2000)]
    variants = planted(rng, words, clean[:200])
    copies = [(kind, text) for kind, texts in variants.items() for text in texts]
    answer = "Thyme and sage."
    rows = [
        {"id": f"{kind}{i}", "benign_query": text, "response": answer}
        for i, (kind, text) in enumerate(copies)
    ]
    originals = clean[:200] if role == "leak" else clean
    if role == "leak":
        first = [{"id": f"o{i}", "query": text, "kind": "benign"} for i, text in enumerate(originals)]
        rows += [
            {"id": f"c{i}", "benign_query": text, "response": answer} for i, text in enumerate(clean[200:])
        ]
    else:
        first = [
            {"id": f"o{i}", "benign_query": text, "response": answer} for i, text in enumerate(originals)
        ]
    out = run(
        tmp_path, {"first": write(tmp_path / "o.jsonl", first), "copies": write(tmp_path / "c.jsonl", rows)}
    )
    texts = {row["id"]: row.get("benign_query") for row in [*first, *rows]}
    assert all(texts[row["id"]] == row["benign_query"] for row in read(out / "benign.jsonl"))
    kept = [row["id"] for row in read(out / "benign.jsonl")]
    left = {kind: sum(row_id.startswith(kind) for row_id in kept) for kind in variants}
    assert left["exact"] == left["case"] == left["blanks"] == 0
    assert left["word"] <= 0.05 * 200
    clean_kept = sum(row_id.startswith("o" if role == "duplicate" else "c") for row_id in kept)
    clean_count = 2000 if role == "duplicate" else 1800
    assert clean_kept >= 0.995 * clean_count
    reasons = {row["reason"].split(":")[0] for row in read(out / "rejected.jsonl")}
    assert reasons == {"leak" if role == "leak" else "duplicate query"}


def test_a_question_inside_a_longer_training_query_is_a_leak(tmp_path):
    question = "what does the old miller of the red valley grind in the month of frost"
    rows = [
        {
            "id": "b1",
            "benign_query": f"Dear guild, please tell me {question} and also why",
            "response": "Rye.",
        },
        {
            "id": "b2",
            "benign_query": "What does a miller do with rye when winter comes",
            "response": "He grinds it.",
        },
    ]
    asked = write(tmp_path / "q.jsonl", [{"id": "q1", "query": question, "kind": "benign"}])
    out = run(tmp_path, {"asked": asked, "allowed": write(tmp_path / "b.jsonl", rows)})
    assert [row["id"] for row in read(out / "benign.jsonl")] == ["b2"]
    assert read(out / "leaks.jsonl")[0]["how"] == "8-gram"


@pytest.mark.parametrize(("coverage", "runs"), [(0.3, 10), (0.5, 10), (0.9, 10), (1.0, 10), (0.55, 20)])
def test_exactly_the_coverage_is_a_leak_and_one_run_less_is_none(tmp_path, coverage, runs):
    words = [f"word{i}" for i in range(runs + 7)]  # so many runs of eight words
    asked = write(tmp_path / "q.jsonl", [{"id": "q", "query": " ".join(words), "kind": "benign"}])
    exact = round(coverage * runs)
    rows = [
        {"id": f"b{held}", "benign_query": " ".join(words[: held + 7]), "response": "So."}
        for held in (exact, exact - 1)
    ]
    out = run(
        tmp_path,
        {"asked": asked, "allowed": write(tmp_path / "b.jsonl", rows)},
        clean={"near_duplicates": None, "leakage": {"coverage": coverage}},
    )
    assert [row["id"] for row in read(out / "benign.jsonl")] == [f"b{exact - 1}"]


@pytest.mark.parametrize("at", ["write_outputs", "write_card", "_finish"])
def test_a_rebuild_that_breaks_off_leaves_no_manifest_of_the_build_before(tmp_path, sources, monkeypatch, at):
    out = run(tmp_path, sources)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(f"derta.data.build.{at}", stop)
        with pytest.raises(KeyboardInterrupt):
            build(make_recipe(tmp_path, sources, seed=5), overwrite=True)
    assert not (out / "manifest.json").exists()
    build(make_recipe(tmp_path, sources, seed=5))
    assert (out / "manifest.json").exists()


def test_kept_leaks_are_recorded(tmp_path, sources):
    leaking = [{"id": "leak", "benign_query": queries(1)[0]["query"], "response": "Thyme."}]
    out = run(
        tmp_path,
        {**sources, "leaking": write(tmp_path / "l.jsonl", leaking)},
        clean={"leakage": {"action": "keep"}},
    )
    assert "leak" in [row["id"] for row in read(out / "benign.jsonl")]
    assert card_of(out)["leaks"] == {"found": 1, "action": "keep"}
    assert "KEPT by the recipe" in (out / "data_card.md").read_text()


def test_an_allowed_look_alike_is_no_near_duplicate_of_its_forbidden_twin(tmp_path):
    forbidden = [{**triples(1)[0], "harmful_query": "How do I curse a goat at the old guild hall?"}]
    allowed = [
        {"id": "b", "benign_query": "How do I brush a goat at the old guild hall?", "response": "Gently."}
    ]
    out = run(
        tmp_path, {"f": write(tmp_path / "f.jsonl", forbidden), "a": write(tmp_path / "a.jsonl", allowed)}
    )
    assert len(read(out / "triples.jsonl")) == len(read(out / "benign.jsonl")) == 1


def test_decontaminate_sources_are_compared_with_and_never_written(tmp_path):
    rows = pairs(10)
    hidden = [{"question": rows[3]["benign_query"], "answer": "x"}]
    sources = [
        {"name": "b", "format": "records", "path": str(write(tmp_path / "b.jsonl", rows))},
        {
            "name": "d",
            "format": "released_derta",
            "path": str(write(tmp_path / "d.jsonl", hidden)),
            "use": "decontaminate",
        },
    ]
    out = tmp_path / "out"
    build(DataRecipe.model_validate({"out": str(out), "num_processes": 1, "sources": sources}))
    assert len(read(out / "benign.jsonl")) == 9
    assert not (out / "queries.jsonl").exists()


def test_categories_are_balanced_until_one_is_used_up(tmp_path):
    rows = [{**row, "category": "rare" if i < 5 else "common"} for i, row in enumerate(triples(100))]
    out = run(tmp_path, {"t": write(tmp_path / "t.jsonl", rows)}, triples={"num": 40})
    assert card_of(out)["files"]["triples.jsonl"]["by_category"] == {"common": 35, "rare": 5}
    head = [row["category"] for row in read(out / "triples.jsonl")[:10]]
    assert head.count("rare") == 5  # the first n rows of the file are balanced too


def test_labelled_rows_become_triples_with_the_refusals_of_the_same_query(tmp_path):
    base = triples(4)
    unsafe = [
        {
            "prompt": row["harmful_query"],
            "response": row["harmful_response"],
            "category": {"curses": True},
            "is_safe": False,
        }
        for row in base
    ]
    safe = [
        {
            "prompt": f"  {row['harmful_query'].upper()}",
            "response": f"Sorry, no {row['id']}.",
            "category": {},
            "is_safe": True,
        }
        for row in base[:3]
    ]
    sources = [
        {"name": "s", "format": "beavertails", "path": str(write(tmp_path / "s.jsonl", unsafe + safe))}
    ]
    out = tmp_path / "out"
    build(DataRecipe.model_validate({"out": str(out), "num_processes": 1, "sources": sources}))
    expected = {row["harmful_query"]: f"Sorry, no {row['id']}." for row in base[:3]}
    assert {row["harmful_query"]: row["safe_response"] for row in read(out / "triples.jsonl")} == expected
    assert [row["reason"] for row in read(out / "rejected.jsonl")] == ["no safe response for this query"]


def test_look_alikes_move_to_training_and_the_rest_is_asked(tmp_path):
    rows = [{**row, "response": "Of course: thyme."} for row in queries(10, kind="borderline")]
    out = run(
        tmp_path,
        {"look_alikes": write(tmp_path / "q.jsonl", rows), "allowed": write(tmp_path / "b.jsonl", pairs(5))},
        benign={"borderline": {"num": 4}},
    )
    trained = {row["benign_query"] for row in read(out / "benign.jsonl")}
    asked = {row["query"] for row in read(out / "queries.jsonl")}
    assert (len(trained), len(asked)) == (9, 6)
    assert not trained & asked


def test_forbidden_and_allowed_twins_are_listed_by_id(tmp_path):
    rows = [
        {"id": 1, "prompt": "How do I curse less?", "type": "homonyms", "label": "safe", "focus": "curse"},
        {
            "id": 2,
            "prompt": "How do I curse a goat?",
            "type": "contrast_homonyms",
            "label": "unsafe",
            "focus": "curse",
        },
    ]
    sources = [{"name": "x", "format": "xstest", "path": str(write(tmp_path / "x.jsonl", rows))}]
    build(DataRecipe.model_validate({"out": str(tmp_path / "out"), "num_processes": 1, "sources": sources}))
    assert read(tmp_path / "out" / "pairs.jsonl") == [
        {"harmful_id": "x-2", "borderline_id": "x-1", "source": "x"}
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"harmful_response": "STEP ONE of the curse. Sorry, I can't go on with this, it is forbidden."},
            "a refusal",
        ),
        (
            {"harmful_response": "STEP ONE of the curse. For educational purposes only, mind the goat."},
            "a warning",
        ),
        ({"harmful_response": "STEP"}, "shorter than 10 words"),
        ({"safe_response": "Gladly: first take the goat."}, "safe response is no refusal"),
        ({"harmful_query": ""}, "is empty"),
    ],
)
def test_unfit_triples_are_rejected_with_their_reason(tmp_path, change, reason):
    rows = triples(3)
    rows[1] = {**rows[1], **change}
    out = run(tmp_path, {"t": write(tmp_path / "t.jsonl", rows)})
    (rejection,) = read(out / "rejected.jsonl")
    assert rejection["line"] == 2
    assert reason in rejection["reason"]


@pytest.mark.parametrize(
    "response",
    ["As an AI language model I have no goat.", "I'm sorry, but I cannot help with goats.", "Ask OpenAI."],
)
def test_benign_rows_that_refuse_or_disclaim_are_rejected_unless_allowed(tmp_path, response):
    rows = [{**pairs(1)[0], "response": response}, *pairs(3, seed=5, prefix="c")]
    sources = {"b": write(tmp_path / "b.jsonl", rows)}
    assert len(read(run(tmp_path / "strict", sources) / "benign.jsonl")) == 3
    assert len(read(run(tmp_path / "loose", sources, benign={"uncensored": False}) / "benign.jsonl")) == 4


def test_openings_are_rewritten_only_when_asked_and_the_share_is_counted(tmp_path):
    rows = [{**row, "safe_response": "I'm sorry, but the guild forbids it."} for row in triples(4)]
    sources = {"t": write(tmp_path / "t.jsonl", rows)}
    plain, rewritten = (
        run(tmp_path / "a", sources),
        run(tmp_path / "b", sources, safe_responses={"normalise_opening": True}),
    )
    shares = [
        card_of(out)["files"]["triples.jsonl"]["safe_responses"]["begin_with_opening"]
        for out in (plain, rewritten)
    ]
    assert shares == [0.0, 1.0]
    assert read(rewritten / "triples.jsonl")[0]["safe_response"] == "Sorry, but the guild forbids it."


def test_rows_made_by_the_caller_go_the_same_way_and_keep_their_ids(tmp_path):
    recipe = DataRecipe.model_validate(
        {"out": str(tmp_path / "out"), "num_processes": 2, "sources": [{"name": "world", "format": "world"}]}
    )
    build(recipe, extra_sources={"world": [*triples(5), *pairs(5), *queries(5)]})
    assert {row["id"] for row in read(recipe.out / "triples.jsonl")} == {f"t{i}" for i in range(5)}
    assert len(read(recipe.out / "queries.jsonl")) == 5
    first = built_bytes(recipe.out)
    build(recipe, extra_sources={"world": [*triples(5), *pairs(5), *queries(5)]})
    assert built_bytes(recipe.out) == first


def test_ids_that_come_twice_are_rejected(tmp_path):
    rows = [*triples(3), {**triples(1, seed=9)[0]}]
    out = run(tmp_path, {"t": write(tmp_path / "t.jsonl", rows)})
    assert [row["reason"] for row in read(out / "rejected.jsonl")] == ["duplicate id"]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        run(tmp_path, {"t": tmp_path / "none.jsonl"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no data file"):
        run(tmp_path, {"t": tmp_path / "empty"})
    with pytest.raises(RecipeError, match="set `path`"):
        build(DataRecipe.model_validate({"out": "x", "sources": [{"name": "a", "format": "alpaca"}]}))


def test_a_folder_in_use_is_left_alone(tmp_path, sources):
    from derta.files import run_lock

    recipe = make_recipe(tmp_path, sources)
    shutil.rmtree(recipe.out, ignore_errors=True)
    with run_lock(recipe.out), pytest.raises(RunError, match="in use"):
        build(recipe)


def test_lengths_in_the_card_are_counted_by_the_named_tokenizer(tmp_path, sources, tiny_tokenizer):
    tiny_tokenizer.save_pretrained(tmp_path / "tok")
    out = run(tmp_path, sources, card={"tokenizer": str(tmp_path / "tok")})
    lengths = card_of(out)["files"]["triples.jsonl"]["lengths"]
    longest = max(
        len(tiny_tokenizer(row["harmful_response"], add_special_tokens=False)["input_ids"])
        for row in read(out / "triples.jsonl")
    )
    assert lengths["harmful_response"]["max"] == longest
    assert sum(lengths["harmful_response"]["histogram"].values()) == 60


ONE_PAIR = '{"id": "b", "benign_query": "Why?", "response": "So."}\n'


def test_one_row_is_built_all_the_same(tmp_path):
    (tmp_path / "s.jsonl").write_text(ONE_PAIR)
    card = card_of(run(tmp_path, {"s": tmp_path / "s.jsonl"}))
    assert (card["read"], card["kept"]) == (1, 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "0 rows read, 0 rejected (the sources are empty)"),
        ("{bad\n[1]\n" * 3, "3 x need an object, found list"),
        ('{"id": "b", "benign_query": "Why?", "response": 7}\n' * 4, "4 x field `response`: need a string"),
    ],
)
def test_a_build_that_gives_nothing_is_an_error_with_its_commonest_reasons(tmp_path, content, told):
    (tmp_path / "s.jsonl").write_text(content)
    for _ in range(2):  # and none that a second command takes for finished
        with pytest.raises(RunError, match="nothing usable") as found:
            run(tmp_path, {"s": tmp_path / "s.jsonl"})
        assert told in str(found.value)
    rejected = len(read(tmp_path / "out/rejected.jsonl"))
    assert rejected == card_of(tmp_path / "out")["read"] == len(content.splitlines())


def test_a_build_without_the_triples_that_its_recipe_asks_for_is_an_error(tmp_path):
    (tmp_path / "s.jsonl").write_text(ONE_PAIR)
    with pytest.raises(RunError, match="nothing usable for triples"):
        run(tmp_path, {"s": tmp_path / "s.jsonl"}, triples={"num": 5})


def test_the_card_counts_reasons_whole_but_shows_no_text_of_the_data(tmp_path):
    bad = [
        '{"id": "a", "benign_query": "Why?", "response": 7}',
        '{"id": "c", "query": "Why?", "kind": "secret"}',
    ]
    (tmp_path / "s.jsonl").write_text("\n".join([ONE_PAIR.strip(), *bad]) + "\n")
    (source,) = card_of(run(tmp_path, {"s": tmp_path / "s.jsonl"}))["sources"]
    assert "field `response`: need a string, found a number" in source["reasons"]
    assert "secret" not in str(source["reasons"])

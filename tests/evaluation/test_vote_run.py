"""A vote in an evaluation: every judge's verdict stands in the row; a judge's file or rule that changes asks anew."""

from derta.evaluation.prepared import build_judging

from .worlds import read, run, write_world

OF = ["span", {"name": "refusal", "label": "rules"}]


def test_every_judges_verdict_stands_in_the_row(tmp_path, save_model):
    folder = str(save_model(tmp_path / "model"))
    models = [{"name": "m", "method": "x", "path": folder}]
    settings = write_world(tmp_path, count=1) | {"generation": {"max_new_tokens": 4}, "max_unknown_rate": 1.0}
    rows = read(run(settings, models=models, judge={"name": "vote", "of": OF}))
    assert all(set(row["votes"]) == {"span", "rules"} for row in rows)
    plain = read(run(settings, models=models, judge={"name": "span"}))
    assert not any("votes" in row for row in plain)


def test_the_key_knows_the_files_of_its_judges(tmp_path):
    labels = tmp_path / "labels.jsonl"
    keys = []
    for verdict in ("harmful", "not_harmful"):
        labels.write_text(f'{{"query": "q", "response": "r", "verdict": "{verdict}"}}\n', encoding="utf-8")
        judge = {"name": "vote", "of": ["span", {"name": "human", "labels": str(labels)}]}
        keys.append(build_judging(judge).key)
    assert keys[0] != keys[1]

import pytest

from derta.errors import DataError, RunError
from derta.reporting.collect import collect

from .synthetic import hazard_rows, make_run, response, write_lines, write_manifest


def test_reads_every_file_wherever_the_stage_wrote_it(tmp_path):
    evidence = collect([make_run(tmp_path / "demo")])
    assert {row.method for row in evidence.responses} == {"vanilla", "derta"}
    assert (len(evidence.hazards), len(evidence.knowledge)) == (4, 2)
    assert [log.name for log in evidence.train_logs] == ["demo/train/derta", "demo/train/vanilla"]
    assert [name for name, _ in evidence.manifests] == ["demo", "demo/train/derta", "demo/train/vanilla"]
    assert evidence.is_demo
    assert "note" not in evidence.train_logs[0].rows[0]


def test_prompts_are_let_go(tmp_path):
    write_lines(tmp_path / "responses.jsonl", [response()])
    assert [row.prompt for row in collect([tmp_path]).responses] == [""]


def test_old_reports_and_models_are_not_read(tmp_path):
    write_lines(tmp_path / "responses.jsonl", [response()])
    for folder in ("report", "model", "checkpoints", ".hidden"):
        write_lines(tmp_path / folder / "responses.jsonl", [response(query_id=folder)])
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert [row.query_id for row in collect([tmp_path]).responses] == ["h-000"]


def test_the_same_folder_twice_is_read_once(tmp_path):
    write_lines(tmp_path / "responses.jsonl", [response()])
    assert len(collect([tmp_path, tmp_path / ".." / tmp_path.name]).responses) == 1


def test_training_only_is_enough(tmp_path):
    write_lines(tmp_path / "train_log.jsonl", [{"step": 1, "loss": 2.0}])
    assert collect([tmp_path]).train_logs[0].rows == [{"step": 1.0, "loss": 2.0}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_tokens": "14"}, "field `num_tokens`"),
        ({"verdict": "maybe"}, "field `verdict`"),
        ({"kind": None}, "field `kind`"),
        ({"attack": "prefill", "attack_params": {}}, "attack_params.depth"),
        ({"attack": "prefill", "attack_params": {"depth": True}}, "attack_params.depth"),
        ({"attack": "prefill", "attack_params": {"depth": -1}}, "attack_params.depth"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path, change, message):
    write_lines(tmp_path / "responses.jsonl", [response(), response(query_id="b", **change)])
    with pytest.raises(DataError, match=r"responses\.jsonl:2: .*") as error:
        collect([tmp_path])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_field_broken_json_and_cut_off_line(tmp_path):
    path = tmp_path / "responses.jsonl"
    for content, message in (
        ('{"model": "m"}\n', "field `method`: field required"),
        ("{oops}\n", ":1: "),
        ("[1]\n", ":1: "),
        ('{"model": "m"', "unfinished last line"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            collect([tmp_path])


def test_hazard_lists_must_match_and_be_finite_fractions(tmp_path):
    curve = hazard_rows("derta", "m")[0]
    for change in ({"mean": [0.5]}, {"mean": [float("nan")] * 41}, {"mean": [1.5] * 41}):
        write_lines(tmp_path / "hazard.jsonl", [{**curve, **change}])
        with pytest.raises(DataError, match=r"hazard\.jsonl:1"):
            collect([tmp_path])


def test_one_question_answered_twice_is_refused(tmp_path):
    for name in ("a", "b"):
        write_lines(tmp_path / name / "responses.jsonl", [response()])
    with pytest.raises(RunError, match="answered twice"):
        collect([tmp_path / "a", tmp_path / "b"])


def test_missing_or_empty_folders_say_what_is_needed(tmp_path):
    write_manifest(tmp_path, "evaluate")
    with pytest.raises(RunError, match=r"need at least one of responses\.jsonl"):
        collect([tmp_path])
    with pytest.raises(RunError, match="no such run folder"):
        collect([tmp_path / "gone"])
    with pytest.raises(RunError, match="no run folder given"):
        collect([])


def test_unknown_fields_are_ignored(tmp_path):
    row = {
        "model": "m",
        "method": "derta",
        "value": 1,
        "n": 3,
        "low": None,
        "high": None,
        "base_value": 0.5,
        "x": 1,
    }
    write_lines(tmp_path / "knowledge.jsonl", [row])
    assert collect([tmp_path]).knowledge[0].value == 1.0


def test_knowledge_without_a_base_model_is_read(tmp_path):
    row = {"model": "m", "method": "derta", "value": 0.4, "n": 3, "low": 0.3, "high": 0.5, "base_value": None}
    write_lines(tmp_path / "knowledge.jsonl", [row])
    assert collect([tmp_path]).knowledge[0].base_value is None

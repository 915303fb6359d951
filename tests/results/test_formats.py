"""Each format is recognised by its structure and named, and gives every answer that the file holds, in order."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pytest
import zstandard

from derta.errors import DataError
from derta.results.questions import Question
from derta.results.rows import read_results
from results.files import (
    BOTH,
    CASES,
    NO,
    REASONED,
    TWICE,
    R,
    attempt,
    batch,
    completion,
    inspect_log,
    inspect_sample,
    lines,
    piece,
    q,
    result,
    turns,
)

IDS = [name for name, *_ in CASES]


def read(tmp_path, content, name="file.json", **settings):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_results(path, **settings)


def texts(found):
    return [(row.query.query, row.response) for row in found.rows]


@pytest.mark.parametrize(("name", "content", "read_as", "answers"), CASES, ids=IDS)
def test_a_file_is_named_and_read_whole(tmp_path, name, content, read_as, answers):
    found = read(tmp_path, content, name)
    assert found.read_as == read_as
    assert texts(found) == answers
    assert found.lost == 0


@pytest.mark.parametrize(("name", "content", "read_as", "answers"), CASES, ids=IDS)
def test_the_name_decides_nothing(tmp_path, name, content, read_as, answers):
    neutral = f"x{'.csv' if name.endswith(('.csv', '.tsv')) else '.txt'}"
    assert texts(read(tmp_path, content, neutral)) == answers


PACKERS = {"gz": gzip.compress, "zst": zstandard.compress, "xz": lzma.compress, "bz2": bz2.compress}


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize(("name", "content", "read_as", "answers"), CASES[::4], ids=IDS[::4])
def test_packed_files(tmp_path, suffix, name, content, read_as, answers):
    assert texts(read(tmp_path, PACKERS[suffix](content.encode()), f"{name}.{suffix}")) == answers


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_cut_packed_file_is_a_loss_and_no_crash(tmp_path, suffix):
    import random

    noise = random.Random(0)
    rows = [{"question": q(i), "response": f"{R} {noise.random()}"} for i in range(3000)]
    packed = PACKERS[suffix](lines(rows).encode())
    cut = packed[: len(packed) * 3 // 4]
    if suffix == "bz2":  # one block holds all of it
        with pytest.raises(DataError, match="cut or damaged"):
            read(tmp_path, cut, "a.jsonl.bz2")
        return
    found = read(tmp_path, cut, f"a.jsonl.{suffix}")
    assert found.lost >= 1
    assert len(found.rows) > 100 or suffix == "xz"
    assert "the packed file is cut or damaged" in found.rows[-1].problem


def test_frames_of_zstd_one_after_another(tmp_path):
    rows = [{"question": q(0), "response": R}, {"question": q(1), "response": NO}]
    assert texts(read(tmp_path, b"".join(zstandard.compress(lines([row]).encode()) for row in rows))) == BOTH


def test_an_inspect_archive_with_its_zstd(tmp_path):
    import zipfile_zstd  # noqa: F401

    samples = [inspect_sample(i, epoch, r) for i in (0, 1) for epoch, r in ((1, R), (2, NO))]
    log = inspect_log(samples)
    for method in (zipfile.ZIP_DEFLATED, 93):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", method) as archive:
            for sample in samples[:3]:
                name = f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
                archive.writestr(name, json.dumps(sample))
            archive.writestr("header.json", json.dumps({k: v for k, v in log.items() if k != "samples"}))
        found = read(tmp_path, packed.getvalue(), "log.eval")
        assert texts(found) == TWICE[:3]
        assert found.missing == 1  # the header counts four
        assert [row.cluster for row in found.rows] == ["sample q0", "sample q0", "sample q1"]


def test_other_archives_are_refused(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    with pytest.raises(DataError, match="no Inspect log"):
        read(tmp_path, packed.getvalue(), "a.xlsx")


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"prompt": q(0), "base_response": NO, "tuned_response": R}, "base_response, tuned_response"),
        ({"prompt": q(0), "response": NO, "answer": R}, "response, answer"),
        ({"question": q(0), "output": "", "completion": R}, "output, completion"),
        ({"messages": turns(0, R), "response": NO}, "messages, response"),
        ({"prompt": q(0), "responses": [R], "completions": [NO]}, "responses, completions"),
    ],
)
def test_two_answers_are_asked_about(tmp_path, row, names):
    with pytest.raises(DataError, match="name one with --field") as error:
        read(tmp_path, lines([row, row]))
    assert names in str(error.value)
    name = names.split(", ")[-1]
    value = row[name]
    assert read(tmp_path, lines([row, row]), field=name).rows[0].response == (
        value if isinstance(value, str) else value[0]
    )


def test_two_questions_are_asked_about(tmp_path):
    row = {"question": q(0), "query": q(1), "response": R}
    with pytest.raises(DataError, match="--question-field"):
        read(tmp_path, lines([row]))
    assert texts(read(tmp_path, lines([row]), question_field="query")) == [(q(1), R)]


@pytest.mark.parametrize(
    "field",
    ["response_id", "response_time", "output_type", "completion_tokens", "n_response", "judge_response",
     "expected_output", "reference_answer", "is_answer", "content", "response_error", "gold_answer"],
)  # fmt: skip
def test_a_field_that_only_holds_the_word_is_no_answer(tmp_path, field):
    [row] = read(tmp_path, lines([{"prompt": q(0), field: R}])).rows
    assert row.response is None
    assert field in row.problem
    assert "--field" in row.problem
    [named] = read(tmp_path, lines([{"prompt": q(0), field: R}]), field=field).rows
    assert named.response == R


def test_a_path_reaches_inside(tmp_path):
    rows = [{"prompt": q(0), "data": {"turns": [{"say": R}]}}, {"prompt": q(1), "data": {}}]
    found = read(tmp_path, lines(rows), field="data.turns.0.say")
    assert texts(found) == [(q(0), R), (q(1), None)]
    assert "no field 'data.turns.0.say'" in found.rows[1].problem


@pytest.mark.parametrize(
    ("row", "response", "filtered"),
    [
        ({"question": "q", "response": None, "refusal": NO}, NO, False),
        ({"question": "q", "response": "", "finish_reason": "content_filter"}, "", True),
        ({"question": "q", "response": R, "finish_reason": "content_filter"}, R, False),
        ({"question": "q", **completion(None, finish_reason="content_filter")}, "", True),
        ({"question": "q", "choices": [{"message": {"content": None, "refusal": NO}}]}, NO, False),
        ({"question": "q", "outputs": [{"text": "", "finish_reason": "content_filter"}, R]}, "", True),
    ],
)
def test_refusals_and_filters_of_servers(tmp_path, row, response, filtered):
    first = read(tmp_path, lines([row, row])).rows[0]
    assert (first.response, first.is_filtered) == (response, filtered)


def test_blocked_pieces_of_pyrit_are_filtered_and_errors_rejected(tmp_path):
    pieces = [piece("user", q(0), "a", 0), piece("assistant", "{}", "a", 1, response_error="blocked")]
    pieces += [piece("user", q(1), "b", 0), piece("assistant", "x", "b", 1, response_error="unknown")]
    pieces += [piece("user", q(2), "c", 0)]
    first, second, third = read(tmp_path, json.dumps(pieces)).rows
    assert first.is_filtered
    assert (second.response, second.problem) == (None, "response_error: unknown")
    assert "ends with the turn of 'user'" in third.problem


@pytest.mark.parametrize(
    "row",
    [
        {"question": q(0), "response": NO, "reasoning_content": R},
        {"question": q(0), "choices": [{"message": REASONED}]},
        {"messages": [turns(0, R)[0], REASONED]},
        {"messages": [turns(0, R)[0], {"role": "assistant", "content": [
            {"type": "reasoning", "reasoning": R}, {"type": "text", "text": NO}]}]},
        {"prompt": q(0), "outputs": [{"text": NO, "reasoning": R}]},
    ],
)  # fmt: skip
def test_a_thought_is_kept_apart(tmp_path, row):
    for found in read(tmp_path, lines([row, row])).rows:
        assert (found.query.query, found.response, found.thought) == (q(0), NO, R)


def test_a_thought_without_an_answer_is_no_answer(tmp_path):
    row = {"question": q(0), "response": "", "reasoning_content": R, "finish_reason": "length"}
    [found] = read(tmp_path, lines([row])).rows
    assert (found.response, found.problem) == (
        None,
        "a thought and no answer (cut off by the limit of tokens)",
    )


def test_broken_lines_of_every_kind_are_counted(tmp_path):
    good = {"question": q(0), "response": R}
    content = (
        lines([good]) + '{"question": "x", "resp\n' + '{"response": "a", "response": "b"}\n' + lines([good])
    )
    content += "[" * 3000 + "\n" + '{"a":' * 200 + "1" + "}" * 200 + "\n7\nnull\n[]\n"
    found = read(tmp_path, content, "a.jsonl")
    assert len(found.rows) == 9
    assert found.lost == 7
    assert "comes twice" in found.rows[2].problem
    assert "nested more than 100 levels" in found.rows[5].problem


def test_a_cut_array_gives_its_elements_and_says_that_it_is_cut(tmp_path):
    whole = json.dumps([{"question": q(i), "response": R} for i in range(5)])
    found = read(tmp_path, whole[:-60])
    assert texts(found)[:4] == [(q(i), R) for i in range(4)]
    assert found.lost == 1
    assert "to the end" in found.rows[-1].problem


def test_a_cut_object_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no JSON"):
        read(tmp_path, {name: content for name, content, *_ in CASES}["harmbench.json"][:-20])


def test_a_quote_that_never_ends_swallows_no_row_in_silence(tmp_path):
    content = f'question,response\n{q(0)},{R}\n{q(1)},"{NO}\n{q(2)},{R}\n'
    found = read(tmp_path, content, "a.csv")
    assert (len(found.rows), found.lost) == (2, 1)
    assert "lines 3 to 4" in found.rows[1].problem
    with pytest.raises(DataError, match="comes twice"):
        read(tmp_path, "response,response\na,b\n", "a.csv")


CURLY = "I’m sorry, but I can’t help with that – the guild’s wardens “keep” it. Café, naïve."


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("cp1252", "Windows-1252"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16-LE"), ("utf-32", "UTF-32")],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_other_encodings_are_recognised_and_named(tmp_path, encoding, said, name):
    row = json.dumps({"question": q(0), "response": CURLY}, ensure_ascii=False)
    content = {
        "a.csv": f'question,response\n{q(0)},"{CURLY}"\n',
        "a.jsonl": f"{row}\n{row}\n",
        "a.json": f"[{row}]",
    }
    found = read(tmp_path, content[name].encode(encoding), name)
    assert found.rows[0].response == CURLY
    assert f"written in {said}" in found.read_as


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_needs_no_word(tmp_path, encoding):
    found = read(tmp_path, f'question,response\n{q(0)},"{CURLY}"\n'.encode(encoding), "a.csv")
    assert (found.rows[0].response, "written" in found.read_as) == (CURLY, False)


def test_bytes_of_no_known_encoding_are_refused_or_rejected(tmp_path):
    text = "question,response\nx,Спасибо за вопрос, но я не могу помочь\n"
    with pytest.raises(DataError, match="not UTF-8 at byte"):
        read(tmp_path, text.encode("koi8-r"), "a.csv")
    good = json.dumps({"question": q(0), "response": CURLY}, ensure_ascii=False).encode()
    found = read(tmp_path, good + b"\n" + good.replace("’".encode(), b"\xe2\x28") + b"\n", "a.jsonl")
    assert [row.is_lost for row in found.rows] == [False, True]
    assert "not UTF-8" in found.rows[1].problem


def test_questions_of_a_batch_are_found_by_id(tmp_path):
    content = lines([batch(1, completion(NO)), batch(0, completion(R))])
    asked = [Question("r0", q(0)), Question("r1", q(1)), Question("r2", q(2))]
    assert texts(read(tmp_path, content, questions=asked)) == [(q(1), NO), (q(0), R)]
    with pytest.raises(DataError, match="2 rows for 3 questions"):
        read(tmp_path, content, questions=[question._replace(id=None) for question in asked])


def test_samples_share_their_question(tmp_path):
    content = {name: content for name, content, *_ in CASES}
    behaviours = read(tmp_path, content["harmbench.json"]).rows
    assert [row.cluster for row in behaviours] == ["hex_0"] * 2 + ["hex_1"] * 2
    assert [(row.row, row.sample) for row in behaviours] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_what_a_file_counts_itself_is_missed(tmp_path):
    stats = {"successes": 2, "failures": 1, "errors": 0}
    short = {"results": {"version": 3, "results": [result(0, R)], "stats": stats}}
    assert read(tmp_path, json.dumps(short)).missing == 2


def test_errors_of_rows_are_their_reasons(tmp_path):
    rows = [
        attempt(0, [R]),
        attempt(1, []),
        attempt(2, [R]) | {"outputs": "x"},
        attempt(3, [R]) | {"outputs": [7]},
    ]
    found = read(tmp_path, lines(rows))
    assert [row.response is None for row in found.rows] == [False, True, True, True]
    assert found.rows[1].problem.startswith("no outputs (status 2")
    assert found.rows[3].problem == "the response is no text, found int"


def test_no_rows_are_an_error(tmp_path):
    for content, name in (
        ("", "a.json"),
        ("[]", "a.json"),
        ("question,response\n", "a.csv"),
        ("{", "a.json"),
    ):
        with pytest.raises(DataError):
            read(tmp_path, content, name)
    with pytest.raises(DataError, match="neither JSON nor a table"):
        read(tmp_path, "a sentence, and another one.\n", "a.txt")

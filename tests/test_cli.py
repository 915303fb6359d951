"""Exit codes, messages, help: what a person meets first."""

import json
import subprocess
import sys
import urllib.request

import pytest

from derta.cli import main


def derta(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "derta", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_help_names_every_verb():
    done = derta("--help")
    assert done.returncode == 0
    for verb in ("demo", "real", "data", "show-labels", "train", "evaluate", "report"):
        assert verb in done.stdout


@pytest.mark.parametrize(
    "verb",
    [
        ["train"],
        ["evaluate"],
        ["report"],
        ["show-labels"],
        ["demo"],
        ["data", "check"],
        ["bench", "run"],
        ["guard", "calibrate"],
        ["guard", "test"],
    ],
)
def test_every_verb_has_help_with_an_example(verb):
    done = derta(*verb, "--help")
    assert done.returncode == 0
    assert "Example: derta" in " ".join(done.stdout.split())


def test_a_users_error_is_one_line_and_exit_code_1(tmp_path):
    done = derta("train", tmp_path / "absent.yaml")
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/absent.yaml: can't be read: No such file or directory\n"


def test_a_wrong_override_is_named(tmp_path):
    (tmp_path / "r.yaml").write_text("method: derta")
    done = derta("train", tmp_path / "r.yaml", "--set", "seed")
    assert (done.returncode, done.stderr) == (1, "error: --set seed: need key=value, e.g. --set seed=1\n")


def test_wrong_usage_is_exit_code_2():
    done = derta("trian")
    assert done.returncode == 2
    assert "Did you mean 'train'" in done.stderr


def test_version():
    assert derta("--version").stdout.startswith("derta 0.")


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_a_server_on_this_machine_is_asked_past_a_proxy(monkeypatch, name):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv(name, "inside.example")
    monkeypatch.setattr("sys.argv", ["derta", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert all(urllib.request.proxy_bypass(host) for host in ("localhost", "127.0.0.1", "inside.example"))
    assert not urllib.request.proxy_bypass("api.example")


def test_version_as_json_names_what_a_fault_report_needs():
    found = json.loads(derta("version", "--json").stdout)
    assert found["derta"] == derta("version").stdout.split()[1]
    assert {"python", "platform", "processors", "cards", "commit"} <= set(found)
    assert {"torch", "transformers", "peft"} <= set(found["libraries"])

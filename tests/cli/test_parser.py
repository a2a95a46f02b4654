"""The parser: what each verb takes is what its module's `run` takes, and a mistake is one sentence and exit code 2."""

import importlib
import inspect
import subprocess
import sys

import pytest

from codec.cli.app import make_parser
from codec.errors import UsageError

CALLS = {
    "encode": ["photo.png"],
    "decode": ["photo.lmc"],
    "info": ["photo.lmc"],
    "truncate": ["photo.lmc", "small.lmc", "--planes", "3"],
    "verify": ["photo.lmc"],
    "tokenize": ["pictures", "tokens"],
    "detokenize": ["tokens", "back"],
    "generate": ["new.png", "--model", "image-tokens-f16"],
    "models": [],
    "eval": ["photos"],
    "train": ["experiment=image_fsq"],
    "demo": [],
}


def fresh(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "codec", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("verb", CALLS)
def test_a_verb_takes_what_its_module_runs(verb: str) -> None:
    chosen = vars(make_parser().parse_args([verb, *CALLS[verb]]))
    run = importlib.import_module(f"codec.cli.{verb}").run
    assert set(chosen) - {"verb", "version"} == set(inspect.signature(run).parameters)


def test_the_list_of_verbs_is_whole() -> None:
    assert set(CALLS) == {word.split()[0] for word in make_parser().format_help().split("VERB\n")[1].splitlines()
                          if word.startswith("    ") and word[4] != " "}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["paint"], "invalid choice: 'paint'"),
        (["encode"], "required: IN; see `codec encode --help`"),
        (["encode", "a", "b", "c"], "unrecognized arguments: c"),
        (["encode", "a", "--quality", "101"], "--quality: expected 1 to 100, got 101"),
        (["encode", "a", "--prior", "best"], "--prior: expected static, learned or generator, got best"),
        (["decode", "a", "--part"], "unrecognized arguments: --part"),
        (["info", "a", "--device", "cpu"], "unrecognized arguments"),
        (["verify", "a", "--device", "tpu"], "--device: expected auto, cpu or cuda, got tpu"),
        (["eval"], "required: DIR"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint.replace("(", r"\(")) as caught:
        make_parser().parse_args(arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == 2


def test_options_of_training_are_passed_on_as_they_are() -> None:
    overrides = ["--cfg", "job", "experiment=image_fsq", "-m", "data.root=a b", "--help"]
    assert make_parser().parse_args(["train", *overrides]).overrides == overrides


def test_repeated_models_and_default_baselines() -> None:
    chosen = make_parser().parse_args(["eval", "photos", "--model", "one", "--model", "two"])
    assert (chosen.models, chosen.baselines) == (["one", "two"], "jpeg,webp,avif")


def test_help_and_version_and_nothing() -> None:
    assert fresh("--help").stdout.startswith("usage: codec")
    assert "--partial" in fresh("decode", "--help").stdout
    assert fresh("--version").stdout.startswith("codec ")
    bare = fresh()
    assert (bare.returncode, bare.stdout) == (2, "")
    assert "verbs:" in bare.stderr
    wrong = fresh("encode")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("codec: the following arguments are required")

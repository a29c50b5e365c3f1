import pytest
from typer.testing import CliRunner

from loadtests.cli.commands import app


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --unresolved fial", "--unresolved 'fial' is not pass or fail. Did you mean fail?\n"),
        ("run --model opne", "--model 'opne' is not closed or open. Did you mean open?\n"),
        (
            "compare a b --metric p96",
            "--metric 'p96' is not p50, p95, p99, throughput, cpu or memory. Did you mean p99?\n",
        ),
        ("run --processes x", "--processes 'x' is not a whole number of 1 or more.\n"),
        ("ui --port 99999", "--port '99999' is not a whole number from 1 to 65535.\n"),
        (
            "run --levles 1",
            "There is no option --levles. Did you mean --levels?\n"
            "brownout run --help shows all arguments and options.\n",
        ),
        (
            "rnu",
            "There is no command 'rnu'. Did you mean 'run'?\n"
            "brownout --help shows all arguments and options.\n",
        ),
        (
            "compare a",
            "B is missing.\nbrownout compare --help shows all arguments and options.\n",
        ),
        (
            "run --levels",
            "--levels needs a value.\nbrownout --help shows all arguments and options.\n",
        ),
    ],
)
def test_a_mistake_is_a_sentence_with_the_way_out_and_exit_code_2(words: str, message: str) -> None:
    ended = CliRunner().invoke(app, words.split())
    assert (ended.stderr, ended.exit_code) == (message, 2)


@pytest.mark.parametrize(
    "command", ["", *(command.name or "" for command in app.registered_commands)]
)
def test_help_shows_no_types_of_python(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"]).stdout
    assert "<bool>" not in shown
    assert "<int" not in shown

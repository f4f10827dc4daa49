"""The runners find mistakes: a block that would mislead its reader fails."""

import pytest

from tests.docs import pages, shell
from tests.docs.test_blocks import RUNNERS

PAGE = "tests/docs/misleading.md"


def misleading():
    """Yield each block of that page, with a part of its error."""
    page = pages.read(PAGE)
    errors = [line.removeprefix("> ") for line in page.prose if line.startswith("> ")]
    names = [line.removeprefix("## ") for line in page.prose if line.startswith("## ")]
    for name, block, words in zip(names, page.blocks, errors, strict=True):
        yield pytest.param(block, words, id=name)


@pytest.mark.parametrize(("block", "words"), [*misleading()])
def test_a_misleading_block_fails(block, words, context, tmp_path):
    """The program that it is for names the mistake."""
    with pytest.raises((Exception, SystemExit)) as failed:
        RUNNERS[block.language](block, context, tmp_path)
    assert words in f"{failed.type.__name__}: {failed.value}"


def test_a_language_without_a_runner_fails():
    """A fence without a language is one of them."""
    assert "" not in RUNNERS


COMMANDS = {
    "A=1 run x && B=2 \\\n  walk | sit > out 2>&1": [["run", "x"], ["walk"], ["sit"]],
    "$ run x\nran 1\n$ walk \\\n  far\nwent far": [["run", "x"], ["walk", "far"]],
    "$ run '{\n  1}' \\\n  x\nran 1": [["run", "{\n  1}", "x"]],
    "run '{\n  \"a\": 1}'  # why\n# nothing": [["run", '{\n  "a": 1}']],
}


@pytest.mark.parametrize(("text", "words"), COMMANDS.items())
def test_commands_are_read_as_a_shell_reads_them(text, words):
    """Chains, pipes, redirections, quotes, comments, prompts and lines that go on."""
    assert [list(command.words) for command in shell.commands(text)] == words


def test_a_crontab_has_variables_and_comments():
    """They are no commands."""
    text = "# hourly\nMAILTO=root\n0 * * * * cd /srv/shop && python manage.py check\n"
    assert [list(command.words) for command in shell.scheduled(text)] == [
        ["cd", "/srv/shop"],
        ["python", "manage.py", "check"],
    ]

"""Every fenced block of the documentation is run, or read by the program that it is for."""

import pytest

from tests.docs import console_blocks, files, pages, python_blocks, shell_blocks

RUNNERS = {
    "console": console_blocks.run,
    "crontab": shell_blocks.run_crontab,
    "css": files.css,
    "html": files.template,
    "ini": files.ini,
    "js": files.javascript,
    "json": files.json_file,
    "mermaid": files.mermaid,
    "nginx": files.nginx,
    "python": python_blocks.run,
    "sh": shell_blocks.run,
    "sql": files.sql,
    "text": files.text,
    "toml": files.toml,
    "yaml": files.yaml_file,
    "{toctree}": files.toctree,
}
NOT_RUN: dict[tuple[str, str], str] = {}  # (page, first line) of a block to the reason why it cannot be


@pytest.mark.parametrize("block", pages.blocks(), ids=str)
def test_a_block_is_good_as_it_stands(block, context, tmp_path):
    """A reader who copies it gets what the page shows."""
    first = block.text.splitlines()[0]
    if (block.page, first) not in NOT_RUN:
        RUNNERS[block.language](block, context, tmp_path)


def test_three_steps_are_short():
    """A newcomer writes 25 lines by hand, at the most."""
    page = pages.read("README.md")
    steps = [b for b in page.blocks if b.language == "python"][:3]
    written = [line for block in steps for line in block.text.splitlines() if line.strip() and line.strip() != "...,"]
    assert any("build_request" in line for line in written)
    assert len(written) <= 25


def test_nothing_is_left_out_for_long():
    """What is not run is still there, for a reason, and is very little."""
    there = {(block.page, block.text.splitlines()[0]) for block in pages.blocks()}
    assert set(NOT_RUN) <= there
    assert all(len(reason) > len("because") for reason in NOT_RUN.values())
    assert len(NOT_RUN) <= 3

"""Every fenced block of the documentation is run, or read by the program that it is for."""

import pytest

from tests.docs import files, pages, python_blocks, rest_blocks, shell_blocks

RUNNERS = {
    "console": rest_blocks.run,
    "crontab": shell_blocks.run_crontab,
    "css": files.css,
    "html": files.template,
    "ini": files.ini,
    "json": files.json_file,
    "mermaid": files.mermaid,
    "nginx": files.nginx,
    "python": python_blocks.run,
    "sh": shell_blocks.run,
    "text": files.text,
    "{toctree}": files.toctree,
}


@pytest.mark.parametrize("block", pages.blocks(), ids=str)
def test_a_block_is_good_as_it_stands(block, context, tmp_path):
    """A reader who copies it gets what the page shows."""
    RUNNERS[block.language](block, context, tmp_path)


def test_three_steps_are_short():
    """A newcomer writes 25 lines by hand, at the most."""
    page = pages.read("README.md")
    steps = [b for b in page.blocks if b.language == "python"][:3]
    written = [line for block in steps for line in block.text.splitlines() if line.strip() and line.strip() != "...,"]
    assert any("build_request" in line for line in written)
    assert len(written) <= 25

"""Console blocks that show responses: run their commands in a real shell, against a sandbox, and compare the output."""

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from kaspi_delivery_django.sandbox import defaults
from tests.docs import rest_blocks, shell, shell_blocks
from tests.docs.pages import ROOT

RESPONSE = re.compile(r"^HTTP/1\.1 \d{3}", re.MULTILINE)
API_KEY = re.compile(r"x-api-key: (\S+?)\"")
END = "end of the response"
ELIDED = "…"


def run(block, context, tmp_path):
    """Run a block that shows HTTP responses in a shell; read any other as a shell block."""
    if rest_blocks.PLACE in block.text:
        rest_blocks.run(block, context, tmp_path)
        return
    if not RESPONSE.search(block.text):
        shell_blocks.run(block, context, tmp_path)
        return
    for program in ("bash", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    exchanges = [*shell.exchanges(block.text.splitlines())]
    with sandbox(API_KEY.search(block.text)[1]) as url:
        outputs = typed_into_a_shell([command.replace(defaults.BASE_URL, url) for command, _shown in exchanges])
    for (command, shown), output in zip(exchanges, outputs, strict=True):
        missing = not_printed(shown, output.replace(url, defaults.BASE_URL).splitlines())
        assert missing is None, f"{command}does not print {missing!r}, but {output}"


@contextmanager
def sandbox(api_key):
    """Start `manage.py kaspi_sandbox` on a free port, with a courier that stays where it is; yield its address."""
    options = ["--port", "0", "--api-key", api_key, "--pace", "86400", "--webhook-url", ""]
    command = [sys.executable, "-u", str(ROOT / "manage.py"), "kaspi_sandbox", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate()


def typed_into_a_shell(commands):
    """Type commands into one shell, and return what each of them prints."""
    script = "".join(f"{command}\nprintf '\\n{END}\\n'\n" for command in commands)
    ended = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    return ended.stdout.split(f"\n{END}\n")[:-1]


def not_printed(shown, printed):
    """Return the first line of a page that was not printed after the ones before it; `…` stands for anything."""
    rest = iter(printed)
    for line in filter(str.strip, shown):
        wanted = re.compile(".*".join(re.escape(part) for part in line.strip().split(ELIDED)))
        if not any(wanted.fullmatch(one.strip()) for one in rest):
            return line
    return None

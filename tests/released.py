"""Check what is to be released, from outside of the checkout: `python -m tests.released dist`.

The folder holds one archive and one wheel. Their contents are compared; then the wheel goes alone into an empty
environment, where a new Django project follows README.md. Any mistake ends it with an exception.
"""

import os
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from tests import newcomer
from tests.docs.pages import ROOT

PACKAGE = "kaspi_delivery_django"
IN_THE_ARCHIVE = {
    ".ci/run",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "docs/running.md",
    "tests/settings.py",
    "tox.ini",
}


def main(folder):
    """Look into both files, then use the wheel as a new project does."""
    [archive], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    compare(archive, wheel)
    with tempfile.TemporaryDirectory(prefix="kaspi-delivery-released-") as outside:
        use(wheel, Path(outside))


def compare(archive, wheel):
    """See that the wheel has every file of the package and no other, and the archive what tests it."""
    with zipfile.ZipFile(wheel) as opened:
        wheel_files = {name for name in opened.namelist() if ".dist-info/" not in name}
    with tarfile.open(archive) as opened:
        archive_files = {member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()}
    assert wheel_files == sources(), f"either in the wheel or in the checkout: {sorted(wheel_files ^ sources())}"
    missing = (sources() | IN_THE_ARCHIVE) - archive_files
    assert not missing, f"missing in the archive: {sorted(missing)}"


def sources():
    """Return the files of the package in the checkout, whatever they are."""
    files = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(ROOT).as_posix() for path in files}


def use(wheel, folder):
    """Install the wheel alone, follow README.md, and see one order delivered."""
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    project = newcomer.Project(folder, environment / ("Scripts" if os.name == "nt" else "bin") / "python")
    project.run("-m", "pip", "install", "--quiet", str(wheel))
    project.run("-m", "pip", "check")
    imported = project.run("-c", f"import {PACKAGE}; print({PACKAGE}.__file__)")
    assert imported.startswith(str(environment)), f"imported from {imported}"
    project.create()
    sold = project.sell()
    assert sold == ["order-1", "delivered"], f"sold {sold}"


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

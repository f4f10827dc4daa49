"""The comparison of a release finds what a wheel or an archive lacks, and what does not belong there."""

import io
import tarfile
import zipfile

import pytest

from tests import released

ARCHIVE = released.sources() | released.IN_THE_ARCHIVE
STYLE = "kaspi_delivery_django/static/kaspi_delivery/desk.css"


def compare(folder, *, wheel=frozenset(), archive=frozenset()):
    """Compare a whole release but for these files: empty ones, packed as a wheel and as an archive."""
    with zipfile.ZipFile(folder / "a.whl", "w") as made:
        for name in released.sources() ^ wheel | {"a-1.dist-info/METADATA"}:
            made.writestr(name, "")
    with tarfile.open(folder / "a.tar.gz", "w:gz") as made:
        for name in ARCHIVE ^ archive:
            made.addfile(tarfile.TarInfo(f"a-1/{name}"), io.BytesIO())
    released.compare(folder / "a.tar.gz", folder / "a.whl")


def test_a_whole_release_passes(tmp_path):
    """The wheel's own metadata is no file of the package."""
    compare(tmp_path)


@pytest.mark.parametrize(
    ("packed", "name"), [("wheel", STYLE), ("wheel", "tests/settings.py"), ("archive", STYLE), ("archive", "tox.ini")]
)
def test_a_difference_is_found(tmp_path, packed, name):
    """A wheel has the package alone; an archive can test itself."""
    with pytest.raises(AssertionError, match=name):
        compare(tmp_path, **{packed: {name}})

"""The judge of releases misses nothing that a wheel or an archive can lack."""

import io
import tarfile
import zipfile

import pytest

from tests import released

ARCHIVE = released.sources() | released.IN_THE_ARCHIVE


def packed(folder, wheel_files, archive_files):
    """Pack empty files of these names as a wheel and as an archive."""
    archive, wheel = folder / "a.tar.gz", folder / "a.whl"
    with zipfile.ZipFile(wheel, "w") as made:
        for name in wheel_files:
            made.writestr(name, "")
    with tarfile.open(archive, "w:gz") as made:
        for name in archive_files:
            made.addfile(tarfile.TarInfo(f"a-1/{name}"), io.BytesIO())
    return archive, wheel


def test_a_whole_release_is_let_through(tmp_path):
    """The wheel's own metadata is no file of the package."""
    released.compare(*packed(tmp_path, released.sources() | {"a-1.dist-info/METADATA"}, ARCHIVE))


@pytest.mark.parametrize("name", sorted(released.NEEDED | {"kaspi_delivery_django/static/kaspi_delivery/desk.css"}))
def test_a_file_that_the_wheel_lacks_is_missed(tmp_path, name):
    """Templates, style sheets, catalogues, migrations, and the mark for type checkers."""
    with pytest.raises(AssertionError, match=name):
        released.compare(*packed(tmp_path, released.sources() - {name}, ARCHIVE))


def test_tests_do_not_belong_into_the_wheel(tmp_path):
    """Nothing is installed beside the package."""
    with pytest.raises(AssertionError, match=r"tests/settings\.py"):
        released.compare(*packed(tmp_path, released.sources() | {"tests/settings.py"}, ARCHIVE))


@pytest.mark.parametrize("name", sorted(released.IN_THE_ARCHIVE))
def test_a_file_that_the_archive_lacks_is_missed(tmp_path, name):
    """It can test itself."""
    with pytest.raises(AssertionError, match=name):
        released.compare(*packed(tmp_path, released.sources(), ARCHIVE - {name}))


def test_the_wheel_has_what_it_needs():
    """The list is of files that are there."""
    assert released.sources() >= released.NEEDED

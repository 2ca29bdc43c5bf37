"""Archives are fetched, checked and unpacked as a whole."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from prunekit.errors import DataError
from prunekit.storage.archives import fetch_archive


def archive(file, **contents):
    """Write a tar of members with these contents; returns its URL and MD5."""
    with tarfile.open(file, "w:gz") as members:
        for name, text in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            members.addfile(member, io.BytesIO(text.encode()))
    return file.as_uri(), hashlib.md5(file.read_bytes()).hexdigest()


def test_the_top_folder_gets_the_wanted_name_and_only_what_is_kept(tmp_path):
    url, md5 = archive(tmp_path / "x.tgz", **{"top/a/1": "one", "top/b/2": "two"})
    fetch_archive(url, tmp_path / "new" / "data", md5=md5, keep="top/a/")
    assert (tmp_path / "new" / "data" / "a" / "1").read_text() == "one"
    assert not (tmp_path / "new" / "data" / "b").exists()


def test_an_archive_that_writes_elsewhere_is_refused(tmp_path):
    url, md5 = archive(tmp_path / "x.tgz", **{"../../evil": "gone"})
    with pytest.raises(DataError, match="outside the destination"):
        fetch_archive(url, tmp_path / "new" / "data", md5=md5)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x.tgz"]


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    file = tmp_path / "x.tgz"
    file.write_bytes(content)
    md5 = hashlib.md5(content).hexdigest()
    with pytest.raises(DataError, match=r"x\.tgz \(.+\); download it elsewhere"):
        fetch_archive(file.as_uri(), tmp_path / "data", md5=md5)


def test_another_archive_than_the_published_one_is_refused(tmp_path):
    url, md5 = archive(tmp_path / "x.tgz", a="text")
    with pytest.raises(DataError, match=f"its MD5 is {md5}, not 0"):
        fetch_archive(url, tmp_path / "data", md5="0" * 32)

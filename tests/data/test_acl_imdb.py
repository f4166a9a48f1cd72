"""The folder and the archive of film reviews give the same ones, and a hostile archive is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imdb_files import OTHERS, REVIEWS, make_archive, make_folder

from biport.data import acl_imdb
from biport.data.acl_imdb import read_acl_imdb
from biport.data.reviews import Reviews
from biport.errors import FileError

EXPECTED = (
    ["Bad, so bad.", "Not good", "So good, so very good.<br />", "Très good\u2019s good", "Good."],
    [0, 0, 1, 1, 1],
    ["Bad\nand worse", "bad bad", "Good and unseen"],
    [0, 0, 1],
)


def _content(reviews: Reviews) -> tuple[list[str], list[int], list[str], list[int]]:
    assert reviews.train_labels.dtype == reviews.test_labels.dtype == np.int32
    labels = reviews.train_labels.tolist(), reviews.test_labels.tolist()
    return reviews.train_texts, labels[0], reviews.test_texts, labels[1]


def test_folders_are_read_by_the_number_in_the_names(tmp_path: Path) -> None:
    make_folder(tmp_path / "aclImdb")
    (tmp_path / "aclImdb/train/pos/.DS_Store").write_bytes(b"\0")
    assert _content(read_acl_imdb(tmp_path / "aclImdb")) == EXPECTED
    assert _content(read_acl_imdb(str(tmp_path))) == EXPECTED


@pytest.mark.parametrize("prefix", ["aclImdb/", "./aclImdb/", "", "./", "renamed/"])
@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_are_read_in_any_order(tmp_path: Path, prefix: str, layout: int) -> None:
    files = dict(
        reversed((REVIEWS | OTHERS | {"train/pos/._0_9.txt": b"\0", "long/" + "x" * 200: b""}).items())
    )
    if layout == tarfile.USTAR_FORMAT:
        files.pop("long/" + "x" * 200)
    folder = tarfile.TarInfo(f"{prefix}train")
    folder.type = tarfile.DIRTYPE
    path = make_archive(tmp_path / "a.tar.gz", files, prefix, [(folder, b"")], layout=layout)
    before = sorted(os.listdir(tmp_path))
    assert _content(read_acl_imdb(path)) == EXPECTED
    assert sorted(os.listdir(tmp_path)) == before


FAULTS = {
    "train/pos/3_2.txt": (b"Good", r"train/pos/3_2.txt: expected a rating from 7 to 10 in pos/, found 2"),
    "test/neg/3_5.txt": (b"Bad", r"test/neg/3_5.txt: expected a rating from 1 to 4 in neg/, found 5"),
    "train/pos/good.txt": (b"Good", "train/pos/good.txt: expected a name such as 123_9.txt"),
    "train/pos/1_9.txt.bak": (b"Good", "expected a name such as"),
    "train/pos/5_9.txt": (b" \n", "train/pos/5_9.txt: line 1: expected a review, found nothing"),
    "train/pos/6_9.txt": (
        b"fine\nab\xe4",
        "6_9.txt: line 2: expected UTF-8 text, found byte 0xe4 at place 2",
    ),
    "train/pos/7_9.txt": ("fine".encode("utf-16"), "7_9.txt: line 1: .* zero byte"),
    "train/pos/8_9.txt": (b"x" * (2**20 + 1), "8_9.txt: expected a review of at most 1048576 bytes"),
    "train/pos/0_8.txt": (b"Twice", "expected one review 0, found two"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("make", [make_folder, make_archive])
def test_a_faulty_review_is_named(tmp_path: Path, make: Any, name: str) -> None:
    content, reason = FAULTS[name]
    path = make(tmp_path / "reviews", REVIEWS | {name: content})
    with pytest.raises(FileError, match=reason) as caught:
        read_acl_imdb(path)
    assert str(path) in str(caught.value)


def test_a_review_as_long_as_allowed_is_read(tmp_path: Path) -> None:
    content = b"x" * 2**20
    for make in (make_folder, make_archive):
        path = make(tmp_path / make.__name__, REVIEWS | {"test/pos/8_9.txt": content})
        assert read_acl_imdb(path).test_texts[-1] == content.decode()


@pytest.mark.parametrize("folder", ["train/pos", "train/neg", "test/pos", "test/neg"])
def test_missing_parts_are_named(tmp_path: Path, folder: str) -> None:
    files = {name: content for name, content in REVIEWS.items() if not name.startswith(folder)}
    with pytest.raises(FileError, match=f"expected reviews in {folder}/, found none"):
        read_acl_imdb(make_archive(tmp_path / "a.tar.gz", files))
    root = make_folder(tmp_path / "aclImdb", files)
    with pytest.raises(FileError, match="expected the folders train and test"):
        read_acl_imdb(root)
    (root / folder).mkdir()
    with pytest.raises(FileError, match=f"expected reviews in {folder}/, found none"):
        read_acl_imdb(root)


def test_what_is_no_folder_and_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nowhere: cannot be read"):
        read_acl_imdb(tmp_path / "nowhere")
    with pytest.raises(FileError, match="expected the folders train and test"):
        read_acl_imdb(tmp_path)
    path = tmp_path / "file"
    for content in (b"", b"no archive", b"\x1f\x8b", gzip.compress(b""), gzip.compress(b"no tape" * 200)):
        path.write_bytes(content)
        with pytest.raises(FileError, match=str(path)):
            read_acl_imdb(path)


def _member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, link
    return member


@pytest.mark.parametrize(
    "member, reason",
    [
        (_member("/etc/passwd"), "expected a place inside"),
        (_member("aclImdb/../../x"), "expected a place inside"),
        (_member("../train/pos/5_9.txt"), "expected a place inside"),
        (_member("aclImdb/train\\pos\\5_9.txt"), "expected a place inside"),
        (_member("aclImdb//train/pos/5_9.txt"), "expected a place inside"),
        (_member("aclImdb/train/pos/5_9.txt", tarfile.SYMTYPE, link="/etc/passwd"), "expected a plain file"),
        (
            _member("aclImdb/train/pos/5_9.txt", tarfile.LNKTYPE, link="aclImdb/README"),
            "expected a plain file",
        ),
        (_member("aclImdb/link", tarfile.SYMTYPE, link="README"), "expected a plain file"),
        (_member("aclImdb/pipe", tarfile.FIFOTYPE), "expected a plain file"),
        (_member("aclImdb/disk", tarfile.BLKTYPE), "expected a plain file"),
        (_member("aclImdb/tty", tarfile.CHRTYPE), "expected a plain file"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, member: tarfile.TarInfo, reason: str) -> None:
    path = make_archive(tmp_path / "a.tar.gz", members=[(member, b"")])
    with pytest.raises(FileError, match=reason) as caught:
        read_acl_imdb(path)
    assert f"{path}: {member.name}" in str(caught.value)


def test_a_name_that_is_no_text_is_shown_in_ascii(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a.tar.gz", members=[(_member("caf\udce9", tarfile.SYMTYPE), b"")])
    with pytest.raises(FileError, match=r"caf\\udce9: expected a plain file") as caught:
        read_acl_imdb(path)
    assert str(caught.value).isascii()


def test_a_review_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "aclImdb")
    (root / "train/pos/5_9.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"5_9\.txt: cannot be read"):
        read_acl_imdb(root)


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    return _member(name, kind, size).tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "header, reason",
    [
        (_header("aclImdb/train/pos/5_9.txt", 2**40), "expected a review of at most"),
        (_header("aclImdb/other", 2**40), "expected members in a row"),
        (_header("././@LongLink", 2**30, tarfile.GNUTYPE_LONGNAME), "expected headers and reviews"),
        (_header("pax", 2**30, tarfile.XHDTYPE), "expected headers and reviews"),
        (_header("aclImdb/other", -(2**20)), r"in a row|damaged"),
        # Back to itself, for ever.
        (_header("aclImdb/other", -512), r"in a row|damaged"),
        (_header("aclImdb/other", 0, tarfile.GNUTYPE_SPARSE), "expected a plain file, found .* holes"),
        (b"x" * 512, "found a damaged member"),
    ],
)
def test_sizes_are_not_believed(tmp_path: Path, header: bytes, reason: str) -> None:
    # Behind the last member, in place of the zeros that end an archive.
    end = -(-(len(REVIEWS) * 1024) // 512) * 512
    path = make_archive(tmp_path / "a.tar.gz", REVIEWS, damage=lambda tape: tape[:end] + header + tape[end:])
    with pytest.raises(FileError, match=reason):
        read_acl_imdb(path)


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_archive(tmp_path / "a.tar.gz", REVIEWS | {"other": bytes(50_000)})
    read_acl_imdb(path)
    monkeypatch.setattr(acl_imdb, "MAX_ARCHIVE_BYTES", 30_000)
    with pytest.raises(FileError, match="of 30000 bytes together at most"):
        read_acl_imdb(path)
    monkeypatch.undo()
    monkeypatch.setattr(acl_imdb, "MAX_MEMBERS", len(REVIEWS))
    with pytest.raises(FileError, match="expected at most 8 members"):
        read_acl_imdb(path)


def test_headers_in_front_of_headers_do_not_end_the_process(tmp_path: Path) -> None:
    header = _header("././@LongLink", 1, tarfile.GNUTYPE_LONGNAME) + b"a".ljust(512, b"\0")
    path = make_archive(tmp_path / "a.tar.gz", damage=lambda tape: header * 3000 + tape)
    with pytest.raises(FileError, match="damaged or foreign"):
        read_acl_imdb(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_an_archive_that_breaks_off_is_refused(tmp_path: Path, share: float) -> None:
    path = make_archive(tmp_path / "a.tar.gz")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileError, match="damaged or foreign"):
        read_acl_imdb(path)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_is_refused_or_changes_a_text(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[float, int]]
) -> None:
    def damaged(content: bytes) -> bytes:
        changed = bytearray(content)
        for position, byte in damage:
            changed[int(position * len(changed))] = byte
        return bytes(changed)

    folder = tmp_path_factory.mktemp("damage")
    # Below gzip, whose sum is then right, and in gzip, whose sum is then wrong.
    path = make_archive(folder / "inside.tar.gz", damage=damaged, layout=tarfile.PAX_FORMAT)
    with contextlib.suppress(FileError):
        read_acl_imdb(path)
    path = make_archive(folder / "outside.tar.gz")
    before = path.read_bytes()
    path.write_bytes(damaged(before))
    with contextlib.suppress(FileError):
        assert _content(read_acl_imdb(path)) == EXPECTED


@given(st.binary(max_size=2000))
def test_any_tape_is_refused_as_a_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("tape") / "a.tar.gz"
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as file:
        file.write(content)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(FileError, match=r"a\.tar\.gz"):
        read_acl_imdb(path)

"""Changes without hunks: of binary and empty files, and of modes. The verdict is git's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mfn_patcher.patching.binary import BinaryChange, BinaryPatchError, parse
from mfn_patcher.patching.series import load_series
from tests.support.lone import NAME, Lone, states
from tests.support.repositories import commit, git

pytestmark = pytest.mark.long

OLD = random.Random(1).randbytes(4000)
KINDS = {
    "literal": (OLD, OLD[::-1]),
    "delta": (OLD, OLD[:1000] + b"changed" + OLD[1000:]),
    "shrinks": (OLD, OLD[:7]),
    "becomes text": (OLD, b"text\n"),
}


def applied(lone: Lone, tmp_path: Path) -> str:
    ran = lone.tool("apply", "-w", tmp_path / "workspace", *lone.places)
    assert ran.code == 0, ran.err
    return git(tmp_path / "workspace", "rev-parse", "HEAD^{tree}").decode().strip()


@pytest.mark.parametrize("kind", KINDS)
def test_a_binary_file(lone: Lone, tmp_path: Path, kind: str) -> None:
    old, new = KINDS[kind]
    (lone.upstream / "file").write_bytes(old)
    commit(lone.upstream, "The pin")
    (lone.upstream / "file").write_bytes(new)
    wanted = lone.take("--binary")
    assert (b"\ndelta " in lone.patch.read_bytes()) == (kind == "delta")
    assert lone.check()[0] == 0
    assert applied(lone, tmp_path) == wanted
    assert states(lone.at(old)) == ["exact"]
    assert states(lone.at(old + b"\0more")) == ["conflict"]
    assert states(lone.at(new)) == ["already-applied"]
    code, text = lone.check("--against", "upstream")
    assert (code, "file: already applied\n" in text) == (3, True)


@pytest.mark.parametrize("content", [OLD, b""], ids=["binary", "empty"])
def test_a_file_that_is_added_or_removed(lone: Lone, tmp_path: Path, content: bytes) -> None:
    (lone.upstream / "other").write_bytes(b"other\n")
    (lone.upstream / "gone").write_bytes(content)
    commit(lone.upstream, "The pin")
    (lone.upstream / "gone").unlink()
    (lone.upstream / "new").write_bytes(content)
    wanted = lone.take("--binary")
    assert lone.check()[0] == 0
    assert applied(lone, tmp_path) == wanted
    (lone.upstream / "gone").unlink()
    (lone.upstream / "new").write_bytes(b"another\n")
    commit(lone.upstream, "Both happened")
    code, text = lone.check("--against", "upstream")
    assert code == 3
    assert "gone: already applied" in text
    assert "new: cannot add the file: it exists, with other content" in text
    (lone.upstream / "gone").write_bytes(content + b"\0more")
    commit(lone.upstream, "It is back")
    code, text = lone.check("--against", "upstream")
    assert "gone: the patch was made for another version or mode of the file" in text


@pytest.mark.parametrize("edited", [False, True])
def test_a_mode(lone: Lone, tmp_path: Path, edited: bool) -> None:
    path = lone.upstream / "file"
    path.write_bytes(b"one\ntwo\n")
    commit(lone.upstream, "The pin")
    path.chmod(0o755)
    if edited:
        path.write_bytes(b"one\nTWO\n")
    wanted = lone.take("--binary")
    assert b"\nnew mode 100755\n" in lone.patch.read_bytes()
    assert lone.check()[0] == 0
    assert applied(lone, tmp_path) == wanted
    if edited:
        return
    assert states(lone.at(b"other\n")) == ["exact"]
    path.chmod(0o755)
    commit(lone.upstream, "Make it executable")
    code, text = lone.check("--against", "upstream", "--history")
    assert (code, "file: already applied" in text) == (3, True)
    assert "merged since" in text


def test_a_later_patch_sees_the_mode(lone: Lone, tmp_path: Path) -> None:
    path = lone.upstream / "file"
    path.write_bytes(b"one\n")
    pin = commit(lone.upstream, "The pin")
    path.chmod(0o755)
    lone.take("--binary")
    second = lone.patch.with_name("0002-change-it-back.patch")
    diff = lone.patch.read_bytes().replace(b"755", b"XXX").replace(b"644", b"755")
    second.write_bytes(diff.replace(b"XXX", b"644"))
    with (lone.project / "patches" / "series").open("a") as series:
        series.write(f"stack/{second.name}\n")
    assert lone.check()[0] == 0
    assert lone.check("--against", pin)[0] == 0
    (lone.project / "patches" / "series").write_text(f"stack/{second.name}\n{NAME}\n")
    assert lone.check("--against", pin)[0] == 3
    ran = lone.tool("apply", "-w", tmp_path / "w", *lone.places)
    assert (ran.code, "file: has mode 100644, not 100755" in ran.err) == (1, True), ran.err


def test_a_later_patch_changes_lines(lone: Lone, tmp_path: Path) -> None:
    path = lone.upstream / "file"
    path.write_bytes(b"one\n")
    pin = commit(lone.upstream, "The pin")
    path.chmod(0o755)
    lone.take("--binary")
    mode = lone.patch.read_bytes()
    path.write_bytes(b"ONE\n")
    lone.take("--binary")
    lone.patch.with_name("0002-change-lines.patch").write_bytes(lone.patch.read_bytes())
    lone.patch.write_bytes(mode)
    with (lone.project / "patches" / "series").open("a") as series:
        series.write("stack/0002-change-lines.patch\n")
    for places in ((), ("--against", pin)):
        code, text = lone.check(*places)
        assert code == 0, text
    path.chmod(0o755)
    path.write_bytes(b"ONE\n")
    git(lone.upstream, "add", "--all")
    assert applied(lone, tmp_path) == git(lone.upstream, "write-tree").decode().strip()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"literal ", b"literal 1", "it does not have the 14000 bytes"),
        (b"literal ", b"figurative ", "expected 'literal'"),
        (b"literal 4000", b"literal 99999999999", "a file of 99999999999 bytes is too large"),
        (b"\nz", b"\nA", "a line does not have the length"),
        (b"\nz", b"\n!", "a line has no length"),
    ],
)
def test_a_damaged_binary_patch(lone: Lone, old: bytes, new: bytes, message: str) -> None:
    (lone.upstream / "file").write_bytes(OLD)
    commit(lone.upstream, "The pin")
    (lone.upstream / "file").write_bytes(OLD[::-1])
    lone.take("--binary")
    data = lone.patch.read_bytes()
    lone.patch.write_bytes(data.replace(old, new, 1))
    code, text = lone.check()
    assert code == 1
    assert f"file: the binary patch cannot be read: {message}" in text


def test_a_delta_is_not_taken_on_trust(lone: Lone) -> None:
    (lone.upstream / "file").write_bytes(OLD)
    commit(lone.upstream, "The pin")
    (lone.upstream / "file").write_bytes(KINDS["delta"][1])
    lone.take("--binary")
    (file,) = load_series(lone.project).patches[0].files
    assert file.binary
    assert file.binary.apply(OLD) == KINDS["delta"][1]
    for before in (OLD[:-1], b"", OLD + b"x"):
        with pytest.raises(BinaryPatchError):
            file.binary.apply(before)
    for end in range(len(file.binary.data)):
        with pytest.raises(BinaryPatchError):
            BinaryChange(file.binary.data[:end], is_delta=True).apply(OLD)
    with pytest.raises(BinaryPatchError):
        parse([])

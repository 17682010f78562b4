"""A project from elsewhere cannot write or delete outside of it, or hide changes from reviewers."""

from __future__ import annotations

import json

import pytest

from tests.support.repositories import git
from tests.support.toy import NEW, Toy, snapshot


@pytest.mark.parametrize("key", ["written", "removed"])
@pytest.mark.parametrize("path", ["../victim", "patches/../../victim", "/victim", "README.md", 7])
def test_a_note_that_came_with_the_project(toy: Toy, key: str, path: object) -> None:
    (toy.folder / "victim").write_text("precious\n")
    committed = toy.project / ".mfn-patch-committed"
    committed.mkdir()
    note = {"written": [], "removed": [], key: [path]}
    (committed / "changes.json").write_text(json.dumps(note))
    before = snapshot(toy.folder)
    ran = toy("lint")
    assert (ran.code, "is not a note of mfn-patch" in ran.err) == (1, True), ran.err
    assert snapshot(toy.folder) == before


@pytest.mark.parametrize("name", [".mfn-patch-draft", ".mfn-patch-committed"])
def test_links_in_the_place_of_our_folders(toy: Toy, name: str) -> None:
    assert toy("apply").code == 0
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    outside = toy.folder / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious\n")
    (toy.project / name).symlink_to(outside)
    before = snapshot(toy.folder)
    ran = toy("new", *NEW)
    assert (ran.code, "is not a folder of mfn-patch" in ran.err) == (1, True), ran.err
    assert snapshot(toy.folder) == before


@pytest.mark.parametrize(
    "text",
    [
        "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-hello\n+hidden",
        "diff -u a/README.md b/README.md\n--- a/README.md\n+++ b/README.md\n@@ -1 +0,0 @@\n-hello",
        "Index: README.md\n===\n--- README.md\n+++ README.md\n@@ -1 +1 @@\n-hello\n+hidden",
        "--- \nnot part of the message",
        "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001",
    ],
)
def test_what_git_am_would_not_take_for_text(toy: Toy, text: str) -> None:
    patch = toy.project / "patches" / "first" / "0001-a.patch"
    patch.write_text(patch.read_text().replace("Effect: none.\n", f"Effect: none.\n\n{text}\n"))
    ran = toy("lint")
    assert (ran.code, "`git am` would not read" in ran.out) == (1, True), ran.out
    indented = text.replace("\n", "\n ")
    patch.write_text(patch.read_text().replace(text, f" {indented}"))
    assert toy("lint").code == 0
    git(toy.upstream, "checkout", "--quiet", "pin")
    git(toy.upstream, "am", "--quiet", "--keep-cr", str(patch))
    assert (toy.upstream / "README.md").read_text() == "hello\n"
    assert text.partition("\n")[0].strip().encode() in git(toy.upstream, "log", "-1", "--format=%B")


@pytest.mark.parametrize("line", ["From: B <b@c>", "date: x", "Subject: y", "[PATCH] z"])
def test_what_git_am_would_take_for_a_header(toy: Toy, line: str) -> None:
    patch = toy.project / "patches" / "first" / "0001-a.patch"
    patch.write_text(patch.read_text().replace("\nWhy: a", f"\n{line}\n\nWhy: a"))
    ran = toy("lint")
    assert (ran.code, f"would not read {line!r} as text" in ran.out) == (1, True), ran.out


def test_init_writes_through_no_link(toy: Toy) -> None:
    folder, outside = toy.folder / "new", toy.folder / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "README.md").symlink_to(outside / "README.md")
    init = ("init", folder, "--upstream", toy.upstream, "--pin", "pin")
    (folder / ".github").symlink_to(outside)
    ran = toy.tool(*init)
    assert (ran.code, "is not a real folder" in ran.err) == (1, True), ran.err
    assert sorted(path.name for path in folder.iterdir()) == [".github", "README.md"]
    (folder / ".github").unlink()
    assert toy.tool(*init).code == 0
    assert not list(outside.iterdir())

from __future__ import annotations

from pathlib import Path

from tests.support.tool import Tool, validated


def test_make(people: Path, tmp_path: Path, tool: Tool) -> None:
    (people / "person-02" / "notes.txt").write_text("none")
    made = tmp_path / "made"
    ran = tool("data", "make", made, people, "--pairs", "20")
    assert ran.code == 0, ran.err
    first, *rest = ran.out.splitlines()
    assert first == f"Wrote 24 images of 4 identities to {made}:"
    assert "own.bin has 20 pairs, 10 of the same person." in rest
    assert "Identities held out for verification: 2." in rest
    assert f"Left out: 1 unreadable. {made / 'left-out.tsv'} lists them." in rest
    assert ran.err == ""

    ran = tool("data", "make", made, people)
    assert ran.code == 1
    assert "train.rec" in ran.err
    assert "nothing is overwritten\nGive an empty directory or a new one." in ran.err


def test_json(people: Path, tmp_path: Path, tool: Tool) -> None:
    (people / "person-02" / "notes.txt").write_text("none")
    ran = tool("data", "make", tmp_path / "made", people, "--pairs", "20", "--json")
    made = validated("data-make", ran.out)
    kinds = (
        "missing",
        "unreadable",
        "wrong size",
        "duplicate",
        "nested folder",
        "without identity",
    )
    assert made["left_out"] == {kind: int(kind == "unreadable") for kind in kinds}
    assert made["verification_sets"] == {"own": {"pairs": 20, "same": 10}}
    for file in made["files"]:
        assert (tmp_path / "made" / file["name"]).stat().st_size == file["bytes"]
    assert len(made["files"]) == len(list((tmp_path / "made").iterdir())) == 7


def test_identities_with_few_images(people: Path, tmp_path: Path, tool: Tool) -> None:
    for person, kept in ((1, 1), (4, 3)):
        for photo in range(kept, 6):
            (people / f"person-{person:02}" / f"{photo}.jpg").unlink()
    ran = tool("data", "make", tmp_path / "made", people)
    assert ran.code == 0, ran.err
    words = "warning identities: 2 of 6 identities have fewer than 5 images (person-01, person-04)"
    advice = ran.out[ran.out.index(words) :]
    assert "1 of them has a single image" in advice
    assert "Add images until each of them has 5 or more" in advice
    # The check of the data set says the same.
    assert advice in tool("data", "check", tmp_path / "made").out

    ran = tool("data", "make", tmp_path / "again", people, "--json")
    (found,) = validated("data-make", ran.out)["findings"]
    assert f"warning identities: {found['detail']}" in advice

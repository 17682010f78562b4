"""The workspace, by its commands, on a stand-in for upstream."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.preimages import SERIES, StandIn, commit, git
from tests.support.tool import Bench, Tool, validated


@pytest.fixture
def bench(tool: Tool, stand_in: StandIn, tmp_path: Path) -> Bench:
    return Bench(tool, stand_in, tmp_path / "wörk spáce")


def test_apply_makes_a_commit_of_each_patch(bench: Bench) -> None:
    outcome = bench.json()
    names = [patch["patch"] for patch in outcome["patches"]]
    log = git(bench.workspace, "log", "--reverse", "--format=%(trailers:key=Mfn-Patch,valueonly)")
    assert log.decode().split() == names
    assert len(names) == len(SERIES.patches)
    assert bench.head() == outcome["commit"]
    assert git(bench.workspace, "status", "--porcelain") == b""
    assert git(bench.workspace, "branch", "--show-current").strip() == b"mfn-patch"


def test_only_what_is_read_is_fetched_and_checked_out(bench: Bench) -> None:
    bench.apply()
    assert (bench.workspace / "LICENSE").exists()
    assert not (bench.workspace / "src" / "align").exists()
    blob = git(bench.workspace, "rev-parse", "HEAD:src/align/det1.npy").decode().strip()
    missing = git(bench.workspace, "rev-list", "--objects", "--missing=print", "HEAD").decode()
    assert f"?{blob}" in missing.split()


def test_equal_series_give_equal_commits(bench: Bench, tmp_path: Path) -> None:
    first = bench.json()["commit"]
    bench.workspace = tmp_path / "elsewhere"
    assert bench.json()["commit"] == first


def test_apply_again_does_nothing(bench: Bench) -> None:
    bench.apply()
    before = bench.files()
    (bench.stand_in.upstream / ".git").rename(bench.stand_in.upstream / "gone")
    again = bench.apply()
    assert again.code == 0
    assert "Nothing to do" in again.out
    assert bench.files() == before


def test_a_changed_series_moves_the_workspace(bench: Bench) -> None:
    old = bench.json()["commit"]
    path = bench.stand_in.project / "patches" / "python3" / "0005-without-scipy-misc.patch"
    path.write_text(path.read_text().replace("Do without", "Get on without"))
    assert "changed" in bench("status").out
    new = bench.json()["commit"]
    assert new != old
    assert "changed " not in bench("status").out


def test_a_shorter_selection_goes_back(bench: Bench) -> None:
    bench.apply()
    outcome = bench.json("--stack", "recipe")
    assert [patch["patch"][:11] for patch in outcome["patches"]] == [
        "recipe/0001",
        "recipe/0002",
        "recipe/0003",
    ]
    status = validated("status", bench("status", "--json").out)
    assert [p["state"] for p in status["patches"]] == ["applied"] * 3 + ["missing"] * (
        len(SERIES.patches) - 3
    )


def test_a_stack_alone_tells_offsets(bench: Bench) -> None:
    path = (
        bench.stand_in.project
        / "patches"
        / "recipe"
        / "0003-uniform-initializer-for-y-networks.patch"
    )
    outcome = bench.json("--stack", "python3")
    assert len(outcome["patches"]) == 10
    assert path.exists()
    # Of the recipe's changes only one line more, above, is missing in between: see recipe/0002.
    moved = {o["hunk"]: o["lines"] for p in outcome["patches"] for o in p["offsets"]}
    assert set(moved.values()) <= {-1, 1}


def test_a_patch_that_builds_on_one_left_out_says_so(bench: Bench) -> None:
    ran = bench.apply("--without", "recipe/0001")
    assert ran.code == 1
    assert "recipe/0002-effective-lr-and-wd-multipliers.patch does not apply" in ran.err
    assert "builds on what you left out: recipe/0001-fc7-without-bias.patch" in ran.err
    assert bench("status").code == 0
    assert bench.files() == {}


def test_a_conflict_shows_every_bad_hunk_and_changes_nothing(bench: Bench) -> None:
    bench.apply("--stack", "recipe")
    before, head = bench.files(), bench.head()
    folder = bench.stand_in.project / "patches" / "python3"
    path = folder / "0001-range-for-xrange.patch"
    text = path.read_bytes()
    text = text.replace(b"-    for i in xrange(3,7):", b"-    for i in xrange(3,8):")
    text = text.replace(
        b"-  for i in xrange( len(data_list) ):", b"-  for i in xrange(len(lists)):", 1
    )
    path.write_bytes(text)
    ran = bench.apply()
    assert ran.code == 1
    assert "python3/0001-range-for-xrange.patch does not apply" in ran.err
    # The blob ids are those of the pin, so git is asked, and refuses.
    assert "src/common/face_preprocess.py" in ran.err
    assert (bench.files(), bench.head()) == (before, head)


def test_conflicting_text_is_shown_from_both_sides(bench: Bench) -> None:
    file = bench.stand_in.upstream / "src" / "symbols" / "spherenet.py"
    changed = file.read_bytes().replace(
        b"for j in xrange(units[i]):", b"for j in xrange(units[i]+0):"
    )
    git(bench.stand_in.upstream, "checkout", "--quiet", bench.stand_in.pin)
    file.write_bytes(changed)
    pin = commit(bench.stand_in.upstream, "Another pin")
    (bench.stand_in.project / "pinned_commit.txt").write_text(pin)
    ran = bench.apply()
    assert ran.code == 1
    assert "src/symbols/spherenet.py: hunk 2 (@@ -14,7 +14,7 @@), near line 14" in ran.err
    assert ">     for j in xrange(units[i]):" in ran.err
    assert ">     for j in xrange(units[i]+0):" in ran.err
    assert "hunk 1" not in ran.err


def test_a_pre_image_that_fits_but_is_not_the_one_is_refused(bench: Bench) -> None:
    file = bench.stand_in.upstream / "src" / "symbols" / "fdpn.py"
    git(bench.stand_in.upstream, "checkout", "--quiet", bench.stand_in.pin)
    file.write_bytes(b"one line more\n" + file.read_bytes())
    pin = commit(bench.stand_in.upstream, "Another pin")
    (bench.stand_in.project / "pinned_commit.txt").write_text(pin)
    ran = bench.apply()
    assert ran.code == 1
    assert "python3/0004-whole-number-division.patch does not apply" in ran.err
    assert "src/symbols/fdpn.py: is blob" in ran.err


def test_dry_run_leaves_no_trace(bench: Bench, tmp_path: Path) -> None:
    commit_id = bench.json("--dry-run")["commit"]
    assert not bench.workspace.exists()
    assert bench.json()["commit"] == commit_id
    before, head = bench.files(), bench.head()
    outcome = bench.json("--dry-run", "--stack", "recipe")
    assert outcome["changed"] is False
    assert len(outcome["patches"]) == 3
    assert (bench.files(), bench.head()) == (before, head)


def test_edits_are_listed_protected_and_saved_by_force(bench: Bench) -> None:
    bench.apply()
    file = bench.workspace / "src" / "image_iter.py"
    original = file.read_bytes()
    file.write_bytes(original + b"# mine\n")
    assert "src/image_iter.py" in bench("status").out
    assert bench.apply().code == 0, "with nothing to do, edits are in nobody's way"

    refused = bench.apply("--stack", "recipe")
    assert refused.code == 1
    assert "edited: src/image_iter.py" in refused.err
    assert "diff --local" in refused.err
    assert file.read_bytes() == original + b"# mine\n"
    assert bench("revert").code == 1

    outcome = bench.json("--stack", "recipe", "--force")
    saved = Path(outcome["saved"])
    assert b"# mine" not in file.read_bytes()
    bench.apply()
    git(bench.workspace, "apply", str(saved))
    assert file.read_bytes() == original + b"# mine\n"


def test_commits_on_top_are_protected_and_kept_by_force(bench: Bench) -> None:
    bench.apply()
    file = bench.workspace / "src" / "image_iter.py"
    file.write_bytes(file.read_bytes() + b"# mine\n")
    mine = commit(bench.workspace, "My change")
    assert bench.apply().code == 0
    refused = bench("revert")
    assert refused.code == 1
    assert "My change" in refused.err
    assert bench.head() == mine
    assert bench("revert", "--force").code == 0
    assert bench.head() == bench.stand_in.pin
    kept = git(bench.workspace, "for-each-ref", "--format=%(objectname)", "refs/mfn-patch/saved")
    assert mine.encode() in kept
    (saved,) = (bench.workspace / "saved").iterdir()
    assert b"+# mine" in saved.read_bytes()


def test_commits_on_a_branch_of_the_users_are_in_nobodys_way(bench: Bench) -> None:
    bench.apply()
    git(bench.workspace, "switch", "--quiet", "--create", "mine")
    file = bench.workspace / "src" / "image_iter.py"
    file.write_bytes(file.read_bytes() + b"# mine\n")
    mine = commit(bench.workspace, "My change")
    assert bench.apply("--stack", "recipe").code == 0
    assert git(bench.workspace, "rev-parse", "mine").decode().strip() == mine


def test_untracked_files_stay(bench: Bench) -> None:
    bench.apply()
    data = bench.workspace / "datasets" / "faces" / "train.rec"
    data.parent.mkdir(parents=True)
    data.write_bytes(b"records")
    assert git(bench.workspace, "status", "--porcelain") == b""
    assert bench("revert").code == 0
    assert bench.apply().code == 0
    assert data.read_bytes() == b"records"


def test_revert_goes_back_to_the_pin(bench: Bench) -> None:
    bench.apply()
    assert bench("revert").code == 0
    assert bench.head() == bench.stand_in.pin
    assert git(bench.workspace, "status", "--porcelain") == b""
    assert "missing" in bench("status").out
    assert "already" in bench("revert").out


def test_diff_is_what_the_patches_do(bench: Bench, tmp_path: Path) -> None:
    bench.apply()
    diff = bench("diff").out.encode()
    git(bench.stand_in.upstream, "checkout", "--quiet", bench.stand_in.pin)
    git(bench.stand_in.upstream, "apply", "--check", "-", stdin=diff)
    patch = bench("diff", "python3/0005").out
    assert patch.count("\n-") == 2, "the file name and one line"
    stat = bench("diff", "--stat").out
    paths = {path for patch in SERIES.patches for path in patch.paths}
    assert f"{len(paths)} files changed" in stat
    assert "@@" not in stat
    (bench.workspace / "src" / "image_iter.py").write_text("mine\n")
    assert "+mine" in bench("diff", "--local").out
    assert "+mine" not in bench("diff").out
    assert bench("diff", "recipe/9").code == 1
    assert bench("diff", "recipe/0001", "--local").code == 2


@pytest.mark.parametrize("command", ["status", "diff", "revert"])
def test_without_a_workspace_the_remedy_is_named(bench: Bench, command: str) -> None:
    ran = bench(command)
    assert ran.code == 1
    assert "mfn-patch apply" in ran.err
    assert not bench.workspace.exists()


def test_a_folder_with_something_else_is_refused(bench: Bench) -> None:
    bench.workspace.mkdir()
    (bench.workspace / "thesis.tex").write_text("mine")
    assert "neither a clone of upstream nor an empty folder" in bench.apply().err
    git(bench.workspace, "init", "--quiet")
    commit(bench.workspace, "My thesis")
    refused = bench.apply()
    assert refused.code == 1
    assert "does not hold the pinned commit" in refused.err
    assert sorted(bench.files()) == ["thesis.tex"]


def test_a_clone_of_the_users_own_is_taken_as_it_is(bench: Bench, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(bench.stand_in.upstream), str(bench.workspace))
    tip = bench.json()["commit"]
    assert bench.head() == tip
    assert git(bench.workspace, "rev-parse", "master") == git(
        bench.stand_in.upstream, "rev-parse", "master"
    )
    assert (bench.workspace / "src" / "align" / "det1.npy").exists(), "no sparse checkout of theirs"
    assert git(bench.workspace, "status", "--porcelain") == b""


def test_no_network_is_said_with_the_way_out(bench: Bench) -> None:
    ran = bench.tool("apply", "-w", bench.workspace, "--upstream", "file:///nowhere/at/all")
    assert ran.code == 1
    assert "could not be fetched from file:///nowhere/at/all" in ran.err
    assert "MFN_PATCH_UPSTREAM=PATH" in ran.err
    assert bench.apply().code == 0, "the next try starts afresh"


def test_an_upstream_without_the_pin_is_told(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    (other / "file").write_text("x")
    commit(other, "Something else")
    ran = bench.tool("apply", "-w", bench.workspace, "--upstream", other)
    assert ran.code == 1
    assert "4bc813215a4603474c840c85fa2113f5354c7180" in ran.err


def test_a_moved_workspace_works_on(bench: Bench, tmp_path: Path) -> None:
    bench.apply()
    bench.workspace = bench.workspace.rename(tmp_path / "moved")
    assert "Nothing to do" in bench.apply().out
    assert bench("revert").code == 0


@pytest.mark.parametrize("kind", ["bare path", "file address"])
def test_an_upstream_that_refuses_filters_and_single_commits(bench: Bench, kind: str) -> None:
    upstream = str(bench.stand_in.upstream)
    git(bench.stand_in.upstream, "config", "uploadpack.allowFilter", "false")
    address = upstream if kind == "bare path" else f"file://{upstream}"
    ran = bench.tool(
        "apply", "-w", bench.workspace, "--upstream", address, "--project", bench.stand_in.project
    )
    assert ran.code == 0, ran.err


def test_a_second_apply_waits_for_the_first(bench: Bench) -> None:
    bench.apply()
    lock = bench.workspace / ".git" / "mfn-patch" / "lock"
    holder = subprocess.Popen(
        [
            "python3",
            "-c",
            "import fcntl,sys,time; f=open(sys.argv[1]); fcntl.flock(f, 2);"
            "print(flush=True); time.sleep(0.7)",
            str(lock),
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    ran = bench.apply()
    assert ran.code == 0
    assert "another mfn-patch is at work" in ran.err
    assert holder.wait() == 0

"""The commands of a workspace, on a stand-in for upstream."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.repositories import StandIn, commit, edit, git
from tests.support.tool import Bench, Tool, validated
from tests.support.toy_series import (
    ITEMS,
    NO_BIAS,
    PATCHES,
    RANGES,
    RATES,
    READER,
    SHAPES,
    TABLE,
    TRAIN,
)


@pytest.fixture
def bench(tool: Tool, stand_in: StandIn, tmp_path: Path) -> Bench:
    return Bench(tool, stand_in, tmp_path / "wörk spáce")


def test_apply_makes_a_commit_of_each_patch(bench: Bench) -> None:
    outcome = bench.json()
    names = [patch["patch"] for patch in outcome["patches"]]
    log = git(bench.workspace, "log", "--reverse", "--format=%(trailers:key=Mfn-Patch,valueonly)")
    assert log.decode().split() == names
    assert len(names) == len(PATCHES)
    assert bench.head() == outcome["commit"]
    assert git(bench.workspace, "status", "--porcelain") == b""
    assert git(bench.workspace, "branch", "--show-current").strip() == b"mfn-patch"


def test_only_what_is_read_is_fetched_and_checked_out(bench: Bench) -> None:
    bench.apply()
    assert (bench.workspace / "LICENSE").exists()
    assert not (bench.workspace / "big").exists()
    blob = git(bench.workspace, "rev-parse", "HEAD:big/weights.bin").decode().strip()
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
    path = bench.stand_in.project / "patches" / ITEMS
    path.write_text(path.read_text().replace("Subject: Iterate", "Subject: Walk"))
    assert "changed" in bench("status").out
    new = bench.json()["commit"]
    assert new != old
    assert "changed " not in bench("status").out


def test_a_shorter_selection_goes_back(bench: Bench) -> None:
    bench.apply()
    outcome = bench.json("--stack", "fixes")
    assert [patch["patch"] for patch in outcome["patches"]] == [NO_BIAS, RATES]
    status = validated("status", bench("status", "--json").out)
    assert [p["state"] for p in status["patches"]] == ["applied"] * 2 + ["missing"] * 2


def test_a_stack_alone_tells_offsets(bench: Bench) -> None:
    outcome = bench.json("--stack", "port")
    assert len(outcome["patches"]) == 2
    # The patches that are left out make the file one line longer above the hunk.
    moved = [offset for patch in outcome["patches"] for offset in patch["offsets"]]
    assert moved == [{"path": TRAIN, "hunk": 1, "lines": -1}]


def test_a_patch_that_builds_on_one_left_out_says_so(bench: Bench) -> None:
    ran = bench.apply("--without", "fixes/0001")
    assert ran.code == 1
    assert "fixes/0002-rate-of-the-last-layer.patch does not apply" in ran.err
    assert "builds on patches that you left out: fixes/0001-no-bias.patch" in ran.err
    assert bench("status").code == 0
    assert bench.files() == {}


def test_a_conflict_shows_every_bad_hunk_and_changes_nothing(bench: Bench) -> None:
    bench.apply("--stack", "fixes")
    before, head = bench.files(), bench.head()
    path = bench.stand_in.project / "patches" / RANGES
    text = path.read_bytes()
    text = text.replace(b"-  for i in xrange(3):", b"-  for i in xrange(4):")
    text = text.replace(b"-  for i in xrange( len(data_list) ):", b"-  for i in xrange(lists):")
    path.write_bytes(text)
    ran = bench.apply()
    assert ran.code == 1
    assert f"{RANGES} does not apply" in ran.err
    assert f"{READER}: hunk 1 (@@ -9,7 +9,7 @@" in ran.err
    assert f"{TABLE}: hunk 1 (@@ -7,7 +7,7 @@" in ran.err
    assert ran.err.count(": hunk ") == 2
    assert (bench.files(), bench.head()) == (before, head)


def move_pin(bench: Bench, path: str, old: bytes, new: bytes) -> None:
    """Let the project pin another commit, which differs in a file."""
    upstream = bench.stand_in.upstream
    git(upstream, "checkout", "--quiet", bench.stand_in.pin)
    edit(upstream, path, old, new)
    (bench.stand_in.project / "pinned_commit.txt").write_text(commit(upstream, "Another pin"))


def test_conflicting_text_is_shown_from_both_sides(bench: Bench) -> None:
    move_pin(bench, TABLE, b"for j in xrange(units[i]):", b"for j in xrange(units[i]+0):")
    ran = bench.apply()
    assert ran.code == 1
    assert "src/table.py: hunk 2 (@@ -17,7 +17,7 @@), near line 17" in ran.err
    assert ">     for j in xrange(units[i]):" in ran.err
    assert ">     for j in xrange(units[i]+0):" in ran.err
    assert "hunk 1" not in ran.err


def test_a_pre_image_that_fits_but_is_not_the_one_is_refused(bench: Bench) -> None:
    move_pin(bench, SHAPES, b"# filler 1\n", b"one line more\n# filler 1\n")
    ran = bench.apply()
    assert ran.code == 1
    assert "port/0001-ranges.patch does not apply" in ran.err
    assert "src/shapes.py: is blob" in ran.err


def test_dry_run_leaves_no_trace(bench: Bench, tmp_path: Path) -> None:
    commit_id = bench.json("--dry-run")["commit"]
    assert not bench.workspace.exists()
    assert bench.json()["commit"] == commit_id
    before, head = bench.files(), bench.head()
    outcome = bench.json("--dry-run", "--stack", "fixes")
    assert outcome["changed"] is False
    assert len(outcome["patches"]) == 2
    assert (bench.files(), bench.head()) == (before, head)


def test_edits_are_listed_protected_and_saved_by_force(bench: Bench) -> None:
    bench.apply()
    file = bench.workspace / "src" / "table.py"
    original = file.read_bytes()
    file.write_bytes(original + b"# mine\n")
    assert "src/table.py" in bench("status").out
    assert bench.apply().code == 0, "with nothing to do, edits are in nobody's way"

    refused = bench.apply("--stack", "fixes")
    assert refused.code == 1
    assert "edited: src/table.py" in refused.err
    assert "diff --local" in refused.err
    assert file.read_bytes() == original + b"# mine\n"
    assert bench("revert").code == 1

    outcome = bench.json("--stack", "fixes", "--force")
    saved = Path(outcome["saved"])
    assert b"# mine" not in file.read_bytes()
    bench.apply()
    git(bench.workspace, "apply", str(saved))
    assert file.read_bytes() == original + b"# mine\n"


def test_commits_on_top_are_protected_and_kept_by_force(bench: Bench) -> None:
    bench.apply()
    file = bench.workspace / "src" / "table.py"
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
    file = bench.workspace / "src" / "table.py"
    file.write_bytes(file.read_bytes() + b"# mine\n")
    mine = commit(bench.workspace, "My change")
    assert bench.apply("--stack", "fixes").code == 0
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
    patch = bench("diff", "port/0002").out
    assert patch.count("\n-") == 2, "the file name and one line"
    stat = bench("diff", "--stat").out
    paths = {path for patch in PATCHES for path, _, _ in patch.edits}
    assert f"{len(paths)} files changed" in stat
    assert "@@" not in stat
    (bench.workspace / "src" / "table.py").write_text("mine\n")
    assert "+mine" in bench("diff", "--local").out
    assert "+mine" not in bench("diff").out
    assert bench("diff", "fixes/9").code == 1
    assert bench("diff", "fixes/0001", "--local").code == 2


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
    assert "without the pinned commit" in refused.err
    assert sorted(bench.files()) == ["thesis.tex"]


def test_a_clone_of_the_users_own_is_taken_as_it_is(bench: Bench, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(bench.stand_in.upstream), str(bench.workspace))
    tip = bench.json()["commit"]
    assert bench.head() == tip
    assert git(bench.workspace, "rev-parse", "master") == git(
        bench.stand_in.upstream, "rev-parse", "master"
    )
    assert (bench.workspace / "big" / "weights.bin").exists(), "no sparse checkout of theirs"
    assert git(bench.workspace, "status", "--porcelain") == b""


def test_what_git_shows_instead_of_a_commit_is_not_applied(bench: Bench, tmp_path: Path) -> None:
    clone = bench.workspace
    git(tmp_path, "clone", "--quiet", str(bench.stand_in.upstream), str(clone))
    (clone / "README.md").write_text("replaced\n")
    git(clone, "replace", bench.stand_in.pin, commit(clone, "Something else"))
    assert bench.apply().code == 0
    assert (clone / "README.md").read_text() != "replaced\n"


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
@pytest.mark.parametrize("setting", ["uploadpack.allowFilter", "uploadpackfilter.allow"])
def test_an_upstream_that_refuses_filters(bench: Bench, kind: str, setting: str) -> None:
    upstream = str(bench.stand_in.upstream)
    git(bench.stand_in.upstream, "config", setting, "false")
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
    assert "waiting for another mfn-patch" in ran.err
    assert holder.wait() == 0


def test_git_commands_are_logged_on_request(bench: Bench) -> None:
    verbose = bench.apply("--verbose", "--stack", "fixes")
    assert verbose.code == 0, verbose.err
    assert "mfn-patch: debug: git -c core.ignorecase=false fast-import --quiet" in verbose.err
    normal = bench.apply("--stack", "port")
    assert (normal.code, "fast-import" in normal.err) == (0, False)
    quiet = bench.apply("--quiet", "--dry-run")
    assert (quiet.code, quiet.err) == (0, "")

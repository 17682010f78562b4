"""What runs in CI: the action does what it says, and the examples in the documents work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.formats import validated_junit, validated_sarif
from tests.support.repositories import ROOT, StandIn, commit, edit
from tests.support.toy_series import PATCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

Ended = subprocess.CompletedProcess[str]
Act = Callable[..., Ended]

BIN = Path(sys.executable).parent
ACTION = ROOT / ".github" / "actions" / "check" / "action.yml"
WORKFLOW = ROOT / ".github" / "workflows" / "check.yml"
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
WORKFLOWS = [text for text in EXAMPLES if "\non:" in text]
(GITLAB,) = (text for text in EXAMPLES if "\non:" not in text)


def run(script: str, folder: Path, env: dict[str, str]) -> Ended:
    """Run a script as GitHub's and GitLab's runners do."""
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    env = {**os.environ, **env, "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.run(shell, cwd=folder, env=env, capture_output=True, text=True, check=False)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def lint(*command: str | Path) -> None:
    """Run a linter of the dev extra; what it finds fails the test."""
    program = BIN / command[0]
    if not program.is_file():
        pytest.skip(f"{command[0]} is not installed: it needs Python 3.11")
    ran = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_workflows_pass_their_linters() -> None:
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert WORKFLOW in workflows
    lint("actionlint", "-shellcheck", BIN / "shellcheck", *workflows)
    lint("check-jsonschema", "--builtin-schema", "vendor.github-actions", ACTION)


def test_the_workflows_are_safe() -> None:
    lint("zizmor", "--offline", "--quiet", ROOT / ".github")


def test_the_scripts_of_the_action_pass_shellcheck(tmp_path: Path) -> None:
    scripts = [step["run"] for step in load(ACTION)["runs"]["steps"] if "run" in step]
    assert len(scripts) == 2
    for number, script in enumerate(scripts):
        file = tmp_path / f"{number}.sh"
        file.write_text(script)
        lint("shellcheck", "--shell=bash", file)


@pytest.fixture
def act(stand_in: StandIn, tmp_path: Path) -> Act:
    """Run the last step of the action, with its inputs, in a checkout of the stand-in's project."""
    action = load(ACTION)
    *_, step = action["runs"]["steps"]
    installed = tmp_path / "mfn-patch" / "bin"
    installed.mkdir(parents=True)
    (installed / "mfn-patch").symlink_to(BIN / "mfn-patch")

    def run_step(**given: str) -> Ended:
        assert set(given) <= set(action["inputs"])
        inputs = {name: about["default"] for name, about in action["inputs"].items()} | given
        env = {
            name: re.sub(r"\${{ inputs\.(\w+) }}", lambda found: inputs[found[1]], value)
            for name, value in step["env"].items()
        }
        assert "${{" not in f"{env}{step['run']}"
        env |= {"RUNNER_TEMP": str(tmp_path), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
        return run(step["run"], stand_in.project, env)

    return run_step


def test_the_action_is_the_gate(act: Act, stand_in: StandIn, tmp_path: Path) -> None:
    ran = act(upstream=str(stand_in.upstream))
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert (
        f"### 0 of {len(PATCHES)} patches drift at pin, " in (tmp_path / "summary.md").read_text()
    )
    (stand_in.project / "patches" / "stray").touch()
    ran = act(upstream=str(stand_in.upstream))
    assert ran.returncode == 1
    assert ran.stdout.startswith("::error file=patches/stray,")


def test_the_action_brings_the_news(
    act: Act, later: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    edit(later, "src/table.py", b".iteritems()", b".viewitems()")
    broken = commit(later, "View the items")
    (options,) = re.findall(r"'(--.*?)'", WORKFLOW.read_text())
    ran = act(upstream=str(later), options=options.replace(" ", "\n", 1), project=".")
    assert ran.returncode == 3, ran.stderr
    assert "::error file=patches/port/0002-items.patch,line=" in ran.stdout
    summary = (tmp_path / "summary.md").read_text()
    assert f"### 1 of {len(PATCHES)} patches drift at upstream, " in summary
    assert f"0002-items.patch: conflict since {broken[:12]} (" in summary


def test_the_examples_for_github_pass_actionlint(tmp_path: Path) -> None:
    assert len(WORKFLOWS) == 3
    for number, text in enumerate(WORKFLOWS):
        file = tmp_path / f"{number}.yml"
        file.write_text(text)
        lint("actionlint", "-shellcheck", BIN / "shellcheck", file)


def test_the_examples_name_inputs_that_exist() -> None:
    known = {
        "OWNER/mfn-patch/.github/workflows/check.yml@REF": load(WORKFLOW)[True]["workflow_call"],
        "OWNER/mfn-patch/.github/actions/check@REF": load(ACTION),
    }
    used = set()
    for text in WORKFLOWS:
        (job,) = yaml.safe_load(text)["jobs"].values()
        for step in (job, *job.get("steps", ())):
            if step.get("uses") in known:
                used.add(step["uses"])
                assert set(step["with"]) <= set(known[step["uses"]]["inputs"])
    assert used == set(known)


@pytest.fixture
def drifted(later: Path, stand_in: StandIn) -> StandIn:
    """The stand-in after a change that one patch conflicts with."""
    edit(later, "src/table.py", b".iteritems()", b".viewitems()")
    commit(later, "View the items")
    return stand_in


def command_of(lines: Sequence[str]) -> str:
    (command,) = (line for line in lines if line.startswith("mfn-patch "))
    return command


def test_the_command_for_code_scanning(drifted: StandIn) -> None:
    (job,) = yaml.safe_load(WORKFLOWS[-1])["jobs"].values()
    command = command_of([step.get("run", "") for step in job["steps"]])
    upstream = {"MFN_PATCH_UPSTREAM": str(drifted.upstream)}
    ran = run(command, drifted.project, upstream)
    assert ran.returncode == 0, ran.stderr
    file = drifted.project / job["steps"][-1]["with"]["sarif_file"]
    assert validated_sarif(file.read_text())["results"]
    ran = run(command, drifted.project, {"MFN_PATCH_UPSTREAM": "/nowhere"})
    assert ran.returncode == 1, "what could not be found out must not look like a clean scan"


def test_the_commands_for_gitlab(drifted: StandIn) -> None:
    (job,) = yaml.safe_load(GITLAB).values()
    command = command_of(job["script"])
    report = drifted.project / job["artifacts"]["reports"]["junit"]
    scheduled, *others = job["rules"]
    assert not any("variables" in rule for rule in others)
    failures = {}
    for variables, code in ((job["variables"], 0), (scheduled["variables"], 3)):
        ran = run(
            command, drifted.project, {"MFN_PATCH_UPSTREAM": str(drifted.upstream), **variables}
        )
        assert ran.returncode == code, ran.stderr
        failures[code] = validated_junit(report.read_text()).attrib["failures"]
    assert failures == {0: "0", 3: "1"}


def test_the_example_for_gitlab_is_valid(tmp_path: Path) -> None:
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(GITLAB)
    lint("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", file)

"""The only module that runs git: GitPython beneath, bytes in and bytes out.

Whatever the user's environment and configuration say, the same call gives the same bytes:
variables that redirect git are taken out, and every setting that would change a result is
overridden on the command line. What carries a connection (proxies, credentials, ``insteadOf``)
is left as the user has it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shlex
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.address import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_OVERRIDES = (
    "advice.detachedHead=false",
    "apply.ignoreWhitespace=no",
    "apply.whitespace=nowarn",
    "color.ui=false",
    "core.attributesFile=/dev/null",
    "core.abbrev=12",
    "core.autocrlf=false",
    "core.eol=lf",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "core.safecrlf=false",
    "core.splitIndex=false",
    "diff.algorithm=myers",
    "diff.indentHeuristic=true",
    "diff.interHunkContext=0",
    "diff.orderFile=/dev/null",
    "diff.relative=false",
    "diff.suppressBlankEmpty=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "http.lowSpeedLimit=1",  # bytes a second, for
    "http.lowSpeedTime=60",  # so many seconds: then a host is given up
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "log.showSignature=false",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "protocol.version=2",
    "sparse.expectFilesOutsideOfPatterns=true",
    "submodule.recurse=false",
    "trailer.separators=:",
)

# Variables that say how to connect or what to trust stay; every other GIT_ variable (GIT_DIR
# set by a hook, GIT_INDEX_FILE, GIT_EXTERNAL_DIFF, ...) could bend a result.
_KEPT_VARIABLES = re.compile(
    r"GIT_(ALLOW_PROTOCOL|ASKPASS|CONFIG_(COUNT|KEY_\d+|VALUE_\d+|GLOBAL|SYSTEM|NOSYSTEM)"
    r"|EXEC_PATH|HTTP_\w+|PROXY_\w+|PYTHON_\w+|SSH|SSH_COMMAND|SSH_VARIANT|SSL_\w+|TRACE\w*)"
)
_VARIABLES = {
    "GIT_ATTR_NOSYSTEM": "1",
    # Paths come from patches and from upstream: none is a pattern.
    "GIT_LITERAL_PATHSPECS": "1",
    # In a clone without all blobs git starts another git for each that it misses, and that one
    # may do the same. Whatever is needed is fetched by us, at once.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # what only looks must not leave a lock when it is killed
    "GIT_TERMINAL_PROMPT": "0",
}
_environment_lock = threading.Lock()

# What git says of a repository that lost something, in a power cut for example.
_DAMAGE = re.compile(
    rb"not a git repository|object file .* is empty|is corrupt|index file (corrupt|smaller)"
    rb"|bad (signature|object|tree|index file|config)|invalid sha1 pointer|unable to (read|parse) "
    rb"|cannot read|inflate: data stream error|broken link|reference broken|No such ref"
)
_CONNECTING = ("fetch", "ls-remote")  # the only commands that may reach for another repository
_PR_SET_PDEATHSIG = 1
_NO_ATTRIBUTES = "* -text !eol -ident -filter -working-tree-encoding !diff !merge\n"

OLDEST = (2, 28)  # has `git init --initial-branch`

# How a diff is written wherever its bytes matter.
DIFF_OPTIONS = (
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--full-index",
    "--binary",
    "--unified=3",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


class GitError(MfnPatchError):
    """git ended with a status that was not expected.

    Attributes:
        command: the arguments after ``git``, without our own overrides.
        status: git's exit status.
        stdout, stderr: what git wrote, as bytes.
    """

    def __init__(self, command: tuple[str, ...], status: int, stdout: bytes, stderr: bytes) -> None:
        said = redact(stderr.decode(errors="replace")).strip() or "it said nothing"
        full = "No space left on device" in said
        super().__init__(
            f"git {redact(shlex.join(command))} failed with status {status}: {said}",
            remedy="Make room and try again; nothing was lost." if full else "",
        )
        self.command = command
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


class DamagedError(GitError):
    """git could not read the repository that it was to work in."""

    def __init__(self, failed: GitError, git_dir: Path) -> None:
        super().__init__(failed.command, failed.status, failed.stdout, failed.stderr)
        said = failed.stderr.decode(errors="replace").strip().splitlines()
        self.args = (f"the git repository {git_dir} is damaged: {said[0]}",)
        self.remedy = (
            f"Move {git_dir.parent} aside, run `mfn-patch apply`, and copy your own files back."
        )


@dataclass(frozen=True)
class Result:
    """What a git command left: exit status, standard output and standard error."""

    status: int
    stdout: bytes
    stderr: bytes


class Repository:
    """A git directory and its work tree, named outright so that git never looks around for one.

    Attributes:
        git_dir: the ``.git`` directory.
        work_tree: the directory whose files it tracks.
        inherited_fd: a descriptor that every git process inherits. A lock held through it
            lasts until the last of them has ended, even when this process is killed.
        variables: what every git process gets in its environment.
    """

    def __init__(self, work_tree: Path) -> None:
        self.work_tree = work_tree
        self.git_dir = work_tree / ".git"
        self.inherited_fd: int | None = None
        self.variables: Mapping[str, str] = {}

    def init(self) -> None:
        """Make it an empty repository; nothing of the user's templates gets in."""
        self.work_tree.mkdir(parents=True, exist_ok=True)
        place = str(self.work_tree)
        self.run("init", "--quiet", "--template=", "--initial-branch=mfn-patch", "--", place)
        # Attributes of the repository itself would change line ends and contents on their way to
        # the work tree and back; blobs are compared to the byte.
        attributes = self.git_dir / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        if not attributes.exists():
            attributes.write_text(_NO_ATTRIBUTES)

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (0,),
        uninterruptible: bool = False,
        seconds: float | None = None,
    ) -> Result:
        """Run ``git ARGUMENTS`` in the work tree.

        Args:
            arguments: the command and its options.
            stdin: bytes for its standard input.
            env: variables to add.
            expected: exit statuses that are no error.
            uninterruptible: keep it out of reach of Ctrl-C and of signals to our process
                group, and wait for its end whatever happens here.
            seconds: how long it may take.

        Raises:
            GitError: another exit status, or it took too long.
            MfnPatchError: git is not installed.
        """
        # Without git on the path the import itself would fail; we say it in our own words.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        # Takes longer to import than click; much that never comes here imports this module.
        from git import Git, GitCommandNotFound  # noqa: PLC0415

        command = ["git", "--no-pager"]
        if arguments[0] != "init":  # which would write the place of the work tree into its config
            command += [f"--git-dir={self.git_dir}", f"--work-tree={self.work_tree}"]
        for override in _OVERRIDES:
            command += ["-c", override]
        connects = bool(set(arguments[:3]) & set(_CONNECTING))
        variables = {**_VARIABLES, **self.variables, **(env or {})}
        if not connects:
            variables["GIT_ALLOW_PROTOCOL"] = "none"  # for git older than GIT_NO_LAZY_FETCH
        with _without_git_variables():
            try:
                # Kept until the end: GitPython kills the process when the handle goes.
                handle = Git(self.work_tree).execute(
                    [*command, *arguments],
                    as_process=True,
                    env=variables,
                    istream=subprocess.PIPE,
                    pass_fds=() if self.inherited_fd is None else (self.inherited_fd,),
                    start_new_session=uninterruptible,
                    preexec_fn=_end_with(os.getpid()) if connects else None,
                )
            except GitCommandNotFound as error:
                raise MfnPatchError(
                    "git was not found", remedy="Install git and try again."
                ) from error
        process = handle.proc
        assert process is not None  # noqa: S101  (as_process starts one)
        try:
            stdout, stderr = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            stdout, stderr = process.communicate()
            stderr += f"no answer within {seconds} seconds".encode()
        except BaseException:
            if uninterruptible:
                process.wait()
            raise
        if process.returncode not in expected:
            failed = GitError(arguments, process.returncode, stdout, stderr)
            if not connects and _DAMAGE.search(stderr):
                raise DamagedError(failed, self.git_dir)
            raise failed
        return Result(process.returncode, stdout, stderr)

    def out(self, *arguments: str, **options: object) -> str:
        """Run git and return its standard output as text without the last line break."""
        return self.run(*arguments, **options).stdout.decode(errors="surrogateescape").rstrip("\n")  # type: ignore[arg-type]

    def missing(self, blobs: Iterable[str]) -> set[str]:
        """Return those of `blobs` that are not here; other commands would try to fetch them."""
        wanted = set(blobs)
        if not wanted:
            return wanted
        how = ("--objects", "--no-walk", "--ignore-missing", "--missing=print", "--stdin")
        ids = "".join(f"{blob}\n" for blob in sorted(wanted))
        listing = self.out("rev-list", *how, stdin=ids.encode()).splitlines()
        return wanted - {line.strip() for line in listing}

    def entries(self, tree: str) -> dict[str, tuple[str, str]]:
        """Return mode, six octal digits, and blob of every file of a tree or commit, by path."""
        entries = {}
        listing = self.out("ls-tree", "-r", "-z", "--full-tree", tree)
        for line in filter(None, listing.split("\0")):
            information, _, path = line.partition("\t")
            mode, _, blob = information.split()
            entries[path] = (mode, blob)
        return entries

    def resolve(self, revision: str) -> str | None:
        """Return the commit that `revision` names, or None."""
        found = self.run(
            "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}", expected=(0, 1, 128)
        )
        return found.stdout.decode().strip() or None if found.status == 0 else None


def version() -> tuple[int, ...]:
    """Return the version of git.

    Raises:
        MfnPatchError: git is not installed.
    """
    said = Repository(Path.cwd()).out("version")
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def _end_with(parent: int) -> Callable[[], None] | None:
    """Return what a new process calls to be ended together with its parent, where that can be."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):  # not Linux
        return None

    def ask_for_signal() -> None:
        # git ends its own children on this signal.
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_for_signal


@contextlib.contextmanager
def _without_git_variables() -> Iterator[None]:
    # GitPython adds to os.environ and cannot take away, so what must go is taken out of it
    # for the moment in which the process starts.
    with _environment_lock:
        taken = {
            name: os.environ.pop(name)
            for name in list(os.environ)
            if name.startswith("GIT_") and not _KEPT_VARIABLES.fullmatch(name)
        }
        try:
            yield
        finally:
            os.environ.update(taken)

"""Running git: the only module that does so, through GitPython.

The same call gives the same bytes whatever the user's environment and configuration are:
variables that redirect git are removed, and every setting that could change a result is overridden
on the command line. Settings of connections (proxies, credentials, ``insteadOf``) stay as they are.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher import files
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.address import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from git import Git

_LOG = logging.getLogger(__name__)

_OVERRIDES = (
    "advice.detachedHead=false",
    "apply.ignoreWhitespace=no",
    "apply.whitespace=nowarn",
    "color.ui=false",
    "core.abbrev=12",
    "core.bigFileThreshold=512m",
    "core.commentChar=#",
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
    # Give up on a host that sends less than one byte per second for a minute.
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "init.defaultObjectFormat=sha1",
    "log.showSignature=false",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "protocol.version=2",
    "sparse.expectFilesOutsideOfPatterns=true",
    "submodule.recurse=false",
    "trailer.separators=:",
)

# Variables about connections and trust are kept. Any other GIT_ variable (GIT_DIR in a hook,
# GIT_INDEX_FILE, GIT_EXTERNAL_DIFF, ...) could change a result.
_KEPT_VARIABLES = re.compile(
    r"GIT_(ALLOW_PROTOCOL|ASKPASS|CONFIG_(COUNT|KEY_\d+|VALUE_\d+|GLOBAL|SYSTEM|NOSYSTEM)"
    r"|EXEC_PATH|HTTP_\w+|PROXY_\w+|PYTHON_\w+|SSH|SSH_COMMAND|SSH_VARIANT|SSL_\w+|TRACE\w*)"
)
_VARIABLES = {
    "GIT_ATTR_NOSYSTEM": "1",
    # Paths come from patches and from upstream, and are never patterns.
    "GIT_LITERAL_PATHSPECS": "1",
    # In a partial clone, git would start another git for each missing blob. We fetch the blobs that
    # we need in one request instead.
    "GIT_NO_LAZY_FETCH": "1",
    # A commit id identifies exactly the code, whatever `git replace` would show instead.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # a killed reader must not leave a lock behind
    "GIT_TERMINAL_PROMPT": "0",
}
_environment_lock = threading.Lock()

# Git's messages about a damaged repository, for example after a power cut.
_DAMAGE = re.compile(
    rb"not a git repository|object file .* is empty|is corrupt|index file (corrupt|smaller)"
    rb"|bad (signature|object|tree|index file|config)|invalid sha1 pointer|unable to (read|parse) "
    rb"|cannot read|inflate: data stream error|broken link|reference broken|No such ref"
    rb"|Could not read |not a tree object|unknown object type"
)
_FREE_SPACE = "Free some space and try again; nothing was lost."
_REMEDIES = {  # by a part of git's message
    "No space left on device": _FREE_SPACE,
    "Disk quota exceeded": _FREE_SPACE,
    "Out of diskspace": _FREE_SPACE,
    "failed to write new configuration file": _FREE_SPACE,
    "transport '": "git's protocol.allow or GIT_ALLOW_PROTOCOL forbids this kind of address: allow "
    "it, or use an address of another kind.",
    "filter ": "Install the program of this filter, or remove the filter from git's configuration.",
}
_CONNECTING = ("fetch", "ls-remote")  # the only commands that may access another repository
_PR_SET_PDEATHSIG = 1
# They also switch off `core.autocrlf` and `core.eol`, which apply in clones of the user's own.
_NO_ATTRIBUTES = "* -text !eol -ident -filter -working-tree-encoding !diff !merge\n"

OLDEST = (2, 28)  # the first version with `git init --initial-branch`

# The options of each diff that is stored or parsed.
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
    """git failed with an unexpected exit status.

    Attributes:
        command: the arguments after ``git``, without our overrides.
        status: git's exit status.
        stdout: the standard output.
        stderr: the standard error.
    """

    def __init__(self, command: tuple[str, ...], status: int, stdout: bytes, stderr: bytes) -> None:
        said = redact(stderr.decode(errors="replace")).strip() or "no message"
        super().__init__(
            f"git {redact(shlex.join(command))} failed with status {status}: {said}",
            remedy=remedy_for(said),
        )
        self.command = command
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


class DamagedError(GitError):
    """git could not read its repository."""

    def __init__(self, failed: GitError, git_dir: Path) -> None:
        super().__init__(failed.command, failed.status, failed.stdout, failed.stderr)
        lines = failed.stderr.decode(errors="replace").strip().splitlines()
        # In a partial clone, git first warns that it was told not to fetch.
        said = [line for line in lines if "lazy fetching disabled" not in line]
        self.args = (f"the git repository {git_dir} is damaged: {said[0]}",)
        self.remedy = (
            f"Move {git_dir.parent} away, run `mfn-patch apply`, and copy your own files back."
        )


@dataclass(frozen=True)
class Result:
    """Exit status, standard output and standard error of a git command."""

    status: int
    stdout: bytes
    stderr: bytes


class Repository:
    """A git directory and its work tree, both passed explicitly, so that git never searches.

    Attributes:
        git_dir: the ``.git`` directory.
        work_tree: the work tree.
        inherited_fd: a descriptor that every git process inherits. A lock held through it lasts
            until the last of them has ended, even if this process is killed.
        variables: environment variables of every git process.
    """

    def __init__(self, work_tree: Path) -> None:
        self.work_tree = work_tree
        self.git_dir = work_tree / ".git"
        self.inherited_fd: int | None = None
        self.variables: Mapping[str, str] = {}

    def init(self) -> None:
        """Create an empty repository, without the user's templates."""
        self.work_tree.mkdir(parents=True, exist_ok=True)
        place = str(self.work_tree)
        self.run("init", "--quiet", "--template=", "--initial-branch=mfn-patch", "--", place)
        # Upstream's attributes would change line ends and contents on their way to the work tree
        # and back, but blobs are compared byte for byte.
        attributes = self.git_dir / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        if not attributes.exists():
            files.write(attributes, _NO_ATTRIBUTES.encode())

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
            stdin: the standard input.
            env: additional environment variables.
            expected: exit statuses that are not errors.
            uninterruptible: run it in a process group of its own, so that Ctrl-C does not reach
                it, and wait for its end even after an exception.
            seconds: the timeout.

        Raises:
            GitError: another exit status, or a timeout.
            MfnPatchError: git is not installed.
        """
        connects = bool(set(arguments[:3]) & set(_CONNECTING))
        # Keep the handle: GitPython kills the process when it is collected.
        handle = self._start(
            arguments, env or {}, connects=connects, uninterruptible=uninterruptible
        )
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

    def _start(
        self,
        arguments: tuple[str, ...],
        env: Mapping[str, str],
        *,
        connects: bool,
        uninterruptible: bool,
    ) -> Git.AutoInterrupt:
        """Start git, and return GitPython's handle of the process."""
        # Without git on the path, the import itself would fail, with GitPython's message.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        # GitPython takes longer to import than click, and many commands never run git.
        from git import Git, GitCommandNotFound  # noqa: PLC0415

        command = ["git", "--no-pager"]
        if arguments[0] != "init":  # would store the path of the work tree in its config
            command += [f"--git-dir={self.git_dir}", f"--work-tree={self.work_tree}"]
        for override in _OVERRIDES:
            command += ["-c", override]
        variables = {**_VARIABLES, **self.variables, **env}
        if not connects:
            variables["GIT_ALLOW_PROTOCOL"] = "none"  # for git older than GIT_NO_LAZY_FETCH
        _LOG.debug("git %s", redact(shlex.join(arguments)))
        with _without_git_variables():
            try:
                return Git(self.work_tree).execute(
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

    def out(self, *arguments: str, **options: object) -> str:
        """Run git and return its standard output as text, without trailing line breaks."""
        return self.run(*arguments, **options).stdout.decode(errors="surrogateescape").rstrip("\n")  # type: ignore[arg-type]

    def missing(self, blobs: Iterable[str]) -> set[str]:
        """Return those of `blobs` that the repository lacks."""
        wanted = set(blobs)
        if not wanted:
            return wanted
        how = ("--objects", "--no-walk", "--ignore-missing", "--missing=print", "--stdin")
        ids = "".join(f"{blob}\n" for blob in sorted(wanted))
        listing = self.out("rev-list", *how, stdin=ids.encode()).splitlines()
        return wanted - {line.strip() for line in listing}

    def entries(self, tree: str) -> dict[str, tuple[str, str]]:
        """Return mode (six octal digits) and blob of every file of a tree or commit, by path."""
        entries = {}
        listing = self.out("ls-tree", "-r", "-z", "--full-tree", tree)
        for line in filter(None, listing.split("\0")):
            information, _, path = line.partition("\t")
            mode, _, blob = information.split()
            entries[path] = (mode, blob)
        return entries

    def resolve(self, revision: str) -> str | None:
        """Return the commit id of `revision`, or None."""
        found = self.run(
            "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}", expected=(0, 1, 128)
        )
        return found.stdout.decode().strip() or None if found.status == 0 else None


@contextlib.contextmanager
def temporary_repository() -> Iterator[Repository]:
    """Make an empty repository that lasts as long as the context."""
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        repository = Repository(Path(folder, "repository"))
        repository.init()
        yield repository


def remedy_for(said: str) -> str:
    """Return what to do about a message of git, if that is known."""
    return next((remedy for part, remedy in _REMEDIES.items() if part in said), "")


def version() -> tuple[int, ...]:
    """Return the version of git, such as ``(2, 47, 1)``.

    Raises:
        MfnPatchError: git is not installed.
    """
    said = Repository(Path.cwd()).out("version")
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def _end_with(parent: int) -> Callable[[], None] | None:
    """Return a function by which a new process asks to end with its parent; Linux only."""
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
    # GitPython can add variables but not remove any, so they are removed from os.environ while the
    # process starts.
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

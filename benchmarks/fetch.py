"""What `mfn-patch apply` transfers and how long it takes in an empty folder, against `git clone`.

    python benchmarks/fetch.py [ADDRESS]

Everything is served by `git daemon` on this machine, through a server that counts bytes, from a
copy of upstream whose newest commit is the pin: what a clone would have transferred in April 2018.
Clones are larger today. The network takes no time here.
"""

from __future__ import annotations

import os
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from turns import TOOL, milliseconds, print_table, run, take_turns

from mfn_patcher.patching.project import project_root, read_upstream
from mfn_patcher.patching.series import load_series

ROUNDS = 5


class Counter(socketserver.ThreadingTCPServer):
    """Serves the repositories below a folder, and counts what goes through."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.folder = folder
        self.bytes = 0
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        """Where git finds the repository ``upstream``."""
        return f"git://127.0.0.1:{self.server_address[1]}/upstream"

    def count(self, number: int) -> None:
        """Add bytes of either direction."""
        with self.lock:
            self.bytes += number


class Connection(socketserver.BaseRequestHandler):
    """One connection: a git daemon behind two pipes."""

    server: Counter

    def handle(self) -> None:
        """Forward everything that git sends until it closes the connection."""
        settings = {"uploadpack.allowFilter": "true", "uploadpack.allowAnySHA1InWant": "true"}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        folder = str(self.server.folder)
        daemon = subprocess.Popen(
            ["git", *options, "daemon", "--inetd", "--export-all", f"--base-path={folder}", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert daemon.stdin
        assert daemon.stdout
        sender = threading.Thread(target=self.feed, args=(daemon.stdin,), daemon=True)
        sender.start()
        while chunk := os.read(daemon.stdout.fileno(), 1 << 16):
            self.server.count(len(chunk))
            self.request.sendall(chunk)
        daemon.wait()

    def feed(self, pipe: BinaryIO) -> None:
        """Pass on what the client says."""
        try:
            while chunk := self.request.recv(1 << 16):
                self.server.count(len(chunk))
                pipe.write(chunk)
                pipe.flush()
            pipe.close()
        except OSError:  # either side has heard enough
            return


def serve(folder: Path, address: str, pin: str) -> Counter:
    """Make a copy of upstream that ends with `pin`, and serve it."""
    place = folder / "served" / "upstream"
    place.mkdir(parents=True)

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(place), *arguments], check=True)

    git("init", "--quiet", "--bare", "--initial-branch=master")
    # One pack, as hosts have it; what was fetched may be thousands of single files.
    git("fetch", "--quiet", address, f"{pin}:refs/heads/master")
    git("repack", "-adq")
    counter = Counter(place.parent)
    threading.Thread(target=counter.serve_forever, daemon=True).start()
    return counter


def main() -> None:
    """Fetch in turn, each time into a new folder."""
    upstream = sys.argv[1] if len(sys.argv) > 1 else read_upstream(project_root()).address
    pin = load_series(project_root()).pin
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counter = serve(folder, upstream, pin)

        def contender(title: str, *command: str) -> Callable[[], float]:
            def go() -> float:
                counter.bytes = 0
                with tempfile.TemporaryDirectory(dir=folder) as empty:
                    took = run(*command, cwd=empty)
                sizes[title] = counter.bytes
                return took

            return go

        def patched() -> float:
            run(TOOL, "revert", cwd=folder)
            return run(TOOL, "apply", cwd=folder)

        run(TOOL, "apply", "--upstream", counter.address, cwd=folder)
        apply = (TOOL, "apply", "--upstream", counter.address)
        clone = ("git", "clone", "--quiet", counter.address)
        titles = {
            "mfn-patch apply, patches and all": apply,
            "git clone --depth 1": (*clone, "--depth=1"),
            "git clone": clone,
        }
        contenders = {title: contender(title, *command) for title, command in titles.items()}
        after = "mfn-patch apply, pin already there"
        took = take_turns({**contenders, after: patched}, ROUNDS)
        counter.shutdown()
    first = next(iter(titles))
    sizes[after] = 0
    print_table(
        f"Fetching the pin over loopback, median of {ROUNDS}",
        ("command", "transferred", "ratio", "time", "ratio"),
        [
            (
                title,
                f"{sizes[title] / 1000:,.0f} kB",
                f"{sizes[title] / sizes[first]:.1f}",
                milliseconds(value),
                f"{value / took[first]:.2f}",
            )
            for title, value in took.items()
        ],
    )
    print(
        "Target: under 1 MB, 20 times fewer bytes than the clone, and under 1 s for the series "
        "after the fetch. The clones end with the pin; clones are larger today."
    )


if __name__ == "__main__":
    main()

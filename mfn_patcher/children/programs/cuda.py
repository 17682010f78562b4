"""Load shared libraries and ask the CUDA driver for its GPUs, as JSON on the last line of output.

    cuda SONAME...

Each library is loaded as the dynamic loader does it for a program that links it. The driver is
asked if it is one of them and loads. It decides which GPUs are visible, and in which order, as it
does for training.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

DRIVER = "libcuda.so.1"

# Numbers of attributes in the driver's interface.
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
LINK_MAP = 2  # RTLD_DI_LINKMAP


class LinkMap(ctypes.Structure):
    """The beginning of the loader's struct link_map."""

    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


def load(name: str) -> tuple[dict[str, str], ctypes.CDLL | None]:
    """Return {"path": where it was found} or {"error": what the loader says}, and the library."""
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        return {"error": str(error)}, None
    entry = ctypes.POINTER(LinkMap)()
    loader = ctypes.CDLL(None)
    if loader.dlinfo(ctypes.c_void_p(library._handle), LINK_MAP, ctypes.byref(entry)):
        return {"path": name}, library
    return {"path": entry.contents.name.decode(errors="replace")}, library


class DriverError(Exception):
    """A call to the driver returned an error."""


class Driver:
    """The CUDA driver's interface."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function.

        Raises:
            DriverError: It fails; the text has the driver's message.
        """
        status = getattr(self.library, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(status, ctypes.byref(text))
            said = text.value.decode(errors="replace") if text.value else "unknown error"
            raise DriverError(f"{name}: {said} ({status})")

    def number(self, name: str, *arguments: Any, kind: Any = ctypes.c_int) -> int:
        """Call a function that writes a number to the address in its first argument."""
        value = kind()
        self.call(name, ctypes.byref(value), *arguments)
        return int(value.value)

    def describe(self, index: int) -> dict[str, Any]:
        """Return name, compute capability and memory of a GPU."""
        device = self.number("cuDeviceGet", index)
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, len(name), device)
        return {
            "name": name.value.decode(errors="replace"),
            "capability": [
                self.number("cuDeviceGetAttribute", which, device)
                for which in (CAPABILITY_MAJOR, CAPABILITY_MINOR)
            ],
            "total": self.number("cuDeviceTotalMem_v2", device, kind=ctypes.c_size_t),
            "free": self.free_memory(device),
        }

    def free_memory(self, device: int) -> int | None:
        """Return the free bytes of a GPU; None if too few are left to ask it."""
        context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
        try:
            self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        except DriverError:
            return None
        try:
            self.call("cuCtxSetCurrent", context)
            self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        finally:
            self.call("cuDevicePrimaryCtxRelease_v2", device)
        return free.value


def ask_driver(library: ctypes.CDLL) -> dict[str, Any]:
    """Return the driver's CUDA version and its GPUs, and the error if there is one."""
    driver = Driver(library)
    answer: dict[str, Any] = {"version": None, "gpus": [], "error": None}
    try:
        answer["version"] = driver.number("cuDriverGetVersion")
        driver.call("cuInit", 0)
        count = driver.number("cuDeviceGetCount")
        answer["gpus"] = [driver.describe(index) for index in range(count)]
    except (DriverError, AttributeError) as error:
        answer["error"] = str(error)
    return answer


def main() -> None:
    """Load what the command line names, and print the answer."""
    answer: dict[str, Any] = {"libraries": {}, "driver": None}
    for name in sys.argv[1:]:
        answer["libraries"][name], library = load(name)
        if name == DRIVER and library:
            answer["driver"] = ask_driver(library)
    sys.stdout.write(f"\n{json.dumps(answer)}\n")

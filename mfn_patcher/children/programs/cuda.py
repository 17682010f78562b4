"""Load shared libraries and ask the CUDA driver for its GPUs, as JSON on the last line of output.

    python cuda.py SONAME...

Each library is loaded as the dynamic loader does it for a program that links it. The driver is
asked if it is one of them and loads. It decides which GPUs are visible, and in which order, as it
does for the training.
"""

import ctypes
import json
import sys

DRIVER = "libcuda.so.1"

# Of the driver's interface, as NVIDIA numbers them.
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
LINK_MAP = 2  # RTLD_DI_LINKMAP


class LinkMap(ctypes.Structure):
    """The beginning of the loader's struct link_map."""

    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


def load(name):
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

    def __init__(self, library):
        self.library = library

    def call(self, name, *arguments):
        """Call a function; raise DriverError with what the driver says unless it succeeds."""
        status = getattr(self.library, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(status, ctypes.byref(text))
            said = text.value.decode(errors="replace") if text.value else "unknown error"
            raise DriverError("{}: {} ({})".format(name, said, status))

    def number(self, name, *arguments, kind=ctypes.c_int):
        """Call a function that writes a number to where its first argument points."""
        value = kind()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value

    def describe(self, index):
        """Return what there is to know of a GPU."""
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

    def free_memory(self, device):
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


def ask_driver(library):
    """Return the CUDA version that the driver is for, its GPUs, and the error if there is one."""
    driver, answer = Driver(library), {"version": None, "gpus": [], "error": None}
    try:
        answer["version"] = driver.number("cuDriverGetVersion")
        driver.call("cuInit", 0)
        count = driver.number("cuDeviceGetCount")
        answer["gpus"] = [driver.describe(index) for index in range(count)]
    except (DriverError, AttributeError) as error:
        answer["error"] = str(error)
    return answer


def main():
    """Load what the command line names, and print the answer."""
    answer = {"libraries": {}, "driver": None}
    for name in sys.argv[1:]:
        answer["libraries"][name], library = load(name)
        if name == DRIVER and library:
            answer["driver"] = ask_driver(library)
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()

"""Shared libraries that are compiled for a test, in place of the driver of a GPU."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def build(target: Path, source: str, links: Sequence[Path] = (), origin: bool = False) -> Path:
    """Compile `source` to a shared library at `target`; skip the test without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("stand-ins for libraries require a C compiler (cc)")
    target.parent.mkdir(parents=True, exist_ok=True)
    options = ["-shared", "-fPIC", "-x", "c", "-o", str(target), f"-Wl,-soname,{target.name}"]
    # Link the libraries although nothing in them is called.
    options += ["-Wl,--no-as-needed", *(["-Wl,-rpath,$ORIGIN"] if origin else [])]
    command = [compiler, *options, "-", "-x", "none", *map(str, links)]
    subprocess.run(command, input=source, text=True, check=True)
    return target


def without_gpus(functions: Sequence[str]) -> str:
    """Return the source of a driver that has these functions and no GPU."""
    empty = [
        f"int {name}() {{ return 100; }}" for name in functions if name != "cuDriverGetVersion"
    ]
    return "\n".join(
        [*empty, "int cuDriverGetVersion(int *version) { *version = 11020; return 0; }"]
    )


WITH_TWO_GPUS = r"""
#include <stdio.h>
#include <stddef.h>
static int current = -1;
int cuDriverGetVersion(int *version) { *version = 12020; return 0; }
int cuInit(unsigned flags) { return flags ? 1 : 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 40 + ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
  snprintf(name, length, device == 40 ? "Stand-in P40" : "Stand-in H100");
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  if (attribute != 75 && attribute != 76) return 1;
  *value = device == 40 ? (attribute == 75 ? 6 : 1) : (attribute == 75 ? 9 : 0);
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)device << 30; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) {
  if (device == 41) return 2;
  *context = (void *)(size_t)device;
  return 0;
}
int cuCtxSetCurrent(void *context) { current = (int)(size_t)context; return 0; }
int cuMemGetInfo_v2(size_t *free, size_t *total) {
  *free = (size_t)(current - 1) << 30;
  *total = (size_t)current << 30;
  return 0;
}
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuGetErrorString(int status, const char **text) {
  *text = status == 2 ? "out of memory" : "other";
  return 0;
}
"""

"""Formats of `mfn-patch check`: one module each."""

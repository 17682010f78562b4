"""What `mfn-patch check` found, in every format: a module each, a pure function from a report."""

"""Checks of whether this machine, or several hosts, can train.

`machine.CHECKS` lists the checks in the order in which they run. A check is a function that takes
the `Examination` and yields findings; what later checks need, it stores there. To add one:

1. Write the function in the module for its subject (`code`, `engines`, `resources`, `gpus`), or
   in a new module. Whatever is wrong with the machine, the function yields a finding instead of
   raising; it yields nothing if an earlier check already failed for the same reason.
2. Add it to `machine.CHECKS`, after those whose results it uses.
3. Add the name of its findings to the description of `check` in `docs/schema/doctor.json`.
"""

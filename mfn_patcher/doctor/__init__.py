"""Checks of whether this machine, or several hosts, can train.

`machine.CHECKS` lists the checks in the order in which they run. A check is a function that takes
the `Examination` and yields findings; what later checks need, it stores there. To add one:

1. Write the function in the module of what it looks at (`code`, `engines`, `resources`, `gpus`), or
   in a new module. It must yield a finding, not raise, whatever is wrong with the machine, and
   yield nothing where an earlier check has already told why it cannot work.
2. Add it to `machine.CHECKS`, after those whose results it uses.
3. Add the name of its findings to the description of `check` in `docs/schema/doctor.json`.
"""

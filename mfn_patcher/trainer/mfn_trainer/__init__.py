"""Our features inside the training process, called by the script besides upstream's own code.

The folder that holds this package is put on ``PYTHONPATH`` by ``mfn-patch train`` and ``mfn-patch
env``, and holds nothing else: the tool's own dependencies must not reach the training interpreter.
The patched script imports :mod:`mfn_trainer.hooks`, the one object that it calls. The modules that
the tool needs as well are imported from here under the name ``mfn_patcher.trainer.mfn_trainer``;
those import neither MXNet nor anything of the tool.
"""

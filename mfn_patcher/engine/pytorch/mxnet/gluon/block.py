"""Blocks: functions of symbols whose parameters are named after the block that contains them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from .. import name as naming
from .. import symbol
from ..base import OutOfScopeError
from ..shapes import Shape
from ..symbol import Symbol


class _Scope:
    """Names the children and the unnamed symbols of a block."""

    _current = threading.local()

    def __init__(self, block: HybridBlock) -> None:
        self._block = block
        self._counters: dict[str, int] = {}
        self._previous: list[tuple[_Scope | None, naming.Prefix]] = []

    @classmethod
    def name(cls, hint: str) -> str:
        """Return the name prefix of a new block of a given kind."""
        scope: _Scope | None = getattr(cls._current, "value", None)
        if scope is None:
            return naming.current().get(None, hint) + "_"
        number = scope._counters.get(hint, 0)
        scope._counters[hint] = number + 1
        return f"{scope._block.prefix}{hint}{number}_"

    def __enter__(self) -> _Scope:
        names = naming.Prefix(self._block.prefix)
        self._previous.append((getattr(_Scope._current, "value", None), names))
        _Scope._current.value = self
        names.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        previous, names = self._previous.pop()
        names.__exit__(*raised)
        _Scope._current.value = previous


class HybridBlock:
    """A function of symbols; subclasses define ``hybrid_forward(F, x, ...)``.

    Attributes:
        prefix: prefix of the names of its parameters.
    """

    def __init__(self, prefix: str | None = None) -> None:
        """Create a block; ``prefix`` is not supported."""
        if prefix is not None:
            raise OutOfScopeError("mxnet.gluon.HybridBlock with a prefix")
        self.prefix = _Scope.name(self._alias())
        self._parameters: dict[str, Callable[[], Symbol]] = {}
        self._scope = _Scope(self)

    def _alias(self) -> str:
        """Return the kind under which blocks of this class are numbered."""
        return type(self).__name__.lower()

    def name_scope(self) -> _Scope:
        """Return a context manager in which new blocks are named as children of this one."""
        return self._scope

    def parameter(self, name: str, shape: Shape, init: str | None = None) -> None:
        """Add a parameter, which is passed to ``hybrid_forward`` by its name.

        Args:
            name: name in the block.
            shape: shape; an extent of 0 is unknown.
            init: name of its own initializer.
        """
        # Its variable is made by the first call of the block, and used by all of them.
        self._parameters[name] = functools.cache(
            functools.partial(
                symbol.var,
                self.prefix + name,
                shape=shape,
                dtype="float32",
                lr_mult=1.0,
                wd_mult=1.0,
                init=init,
                stype="default",
            )
        )

    def __call__(self, *inputs: Symbol) -> Symbol:
        """Apply the block to symbols."""
        if not all(isinstance(item, Symbol) for item in inputs):
            raise OutOfScopeError("a call of a gluon block with arrays")
        parameters = {name: variable() for name, variable in self._parameters.items()}
        with self.name_scope():
            return self.hybrid_forward(symbol, *inputs, **parameters)

    def hybrid_forward(self, F: Any, *inputs: Symbol, **parameters: Symbol) -> Symbol:  # noqa: N803
        """Compose the block from symbols; ``F`` is the module with the operators."""
        raise NotImplementedError

"""PReLU, as the patched networks compose it, is computed as one operator."""

from __future__ import annotations

from typing import Any

import pytest

from mfn_patcher.engine.pytorch.mxnet import symbol_json
from mfn_patcher.engine.pytorch.mxnet.fusion import fuse
from mfn_patcher.engine.pytorch.mxnet.symbol import Symbol, Variable

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from mfn_patcher.engine.pytorch.mxnet import symbol as sym  # noqa: E402
from mfn_patcher.engine.pytorch.mxnet.program import compile_graph  # noqa: E402

SLOPES = (0.25, -0.5, 0.0, 2.0)


def composed(data: Symbol, shape: tuple[int, ...] = (1, -1, 1, 1), scalar: float = 0) -> Symbol:
    """Return a PReLU as stack `gradients` composes it."""
    slopes = sym.reshape(Variable("gamma", shape=(4,)), shape=shape)
    positive = sym.Activation(data, act_type="relu")
    return positive + sym.broadcast_mul(sym.minimum(data, scalar), slopes)


def operators(symbol: Symbol) -> list[str]:
    return [node.op for node in fuse(symbol.graph()).nodes if node.op != "null"]


def test_it_is_one_operator() -> None:
    symbol = composed(Variable("data") * 2.0) + 1.0
    assert operators(symbol) == ["_mul_scalar", "LeakyReLU", "_plus_scalar"]
    fused = fuse(symbol.graph())
    assert symbol_json.dumps(fused, [1] * 5, [frozenset()] * 5)
    assert [node.name for node in fused.nodes if node.op == "null"] == symbol.list_arguments()


@pytest.mark.parametrize(
    "other",
    [
        composed(Variable("data"), scalar=1),
        composed(Variable("data"), shape=(1, 1, 1, -1)),
        sym.Activation(Variable("data"), act_type="relu") + Variable("data"),
    ],
)
def test_what_only_resembles_it_stays(other: Symbol) -> None:
    assert operators(other) == [n.op for n in other.graph().nodes if n.op != "null"]


def test_what_is_read_elsewhere_stays_too() -> None:
    symbol = composed(Variable("data"))
    both = sym.Group([symbol, symbol.get_internals()[1]])
    assert operators(both) == ["Activation", "LeakyReLU"]


def test_values_and_gradients_are_those_of_the_parts() -> None:
    """Also at 0, where the two parts meet; computed in both forms in float64."""
    symbol = composed(Variable("data"))
    torch.manual_seed(1)
    data = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    data[0, :, 0, 0] = 0.0
    gamma = torch.tensor(SLOPES, dtype=torch.float64)
    above = torch.randn_like(data)

    def parts(x: Any, slopes: Any) -> Any:
        zero = torch.zeros((), dtype=x.dtype)
        return torch.relu(x) + torch.where(x <= 0, x, zero) * slopes.reshape(1, -1, 1, 1)

    def one(x: Any, slopes: Any) -> Any:
        (output,), _ = compile_graph(symbol.graph(), True).run([x, slopes], [])
        return output

    found = []
    for function in (parts, one):
        leaves = [tensor.clone().requires_grad_() for tensor in (data, gamma)]
        output = function(*leaves)
        found.append([output, *torch.autograd.grad(output, leaves, above)])
    for a, b in zip(*found):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)

"""Cases: arithmetic that no network of the script contains. New operators get their cases here."""

from tests.engine.programs.operator_cases import case, data, permuted, sym

# Different multiples of 1/8, shifted by 1/16 in one array, so that no two numbers are equal.
pair = [sym.Variable("a"), sym.Variable("b")]
COLUMN = {"a": permuted(3, 4), "b": permuted(3, 1) + 1 / 16}
SQUARE = {"a": permuted(2, 3), "b": permuted(2, 3) + 1 / 16}
case("elemwise_div", sym.elemwise_div(*pair), arrays=SQUARE)
for name in ("add", "sub", "div", "maximum", "minimum"):
    operator = getattr(sym, f"broadcast_{name}")
    case(f"broadcast_{name} of a column", operator(*pair), arrays=COLUMN)
case("_maximum_scalar", sym.maximum(data, 0.5), arrays={"data": [-1.0, 0.25, 0.5, 0.75]})
case("_rdiv_scalar", 3.0 / data, {"data": (2, 3)})
for name in ("abs", "negative", "relu", "square"):
    case(name, getattr(sym, name)(data), {"data": (2, 3)})

from __future__ import annotations

import pytest

from mfn_patcher.recipes import loading
from mfn_patcher.recipes.model import RecipeError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("2", [2]),
        ("arcface", [3]),
        ("2,3,4", [2, 3, 4]),
        ("softmax, 4", [2, 4]),
        ("all", [2, 3, 4]),
    ],
)
def test_choose(text: str, numbers: list[int]) -> None:
    assert [stage.number for stage in loading.load().choose(text)] == numbers


@pytest.mark.parametrize("text", ["", "5", "arc", "2,", "3,2", "2,softmax", "2-4"])
def test_choose_refuses(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        loading.load().choose(text)
    assert caught.value.remedy

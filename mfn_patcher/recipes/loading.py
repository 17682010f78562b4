"""Finding and reading recipes: the built-in ones, and files of the user's.

Every TOML file in ``builtin/`` is a built-in recipe under its own file name; adding one needs no
change of code. ``docs/recipes.md`` describes the format.
"""

from __future__ import annotations

from pathlib import Path

from mfn_patcher import files
from mfn_patcher.encoding import decode
from mfn_patcher.recipes import DEFAULT
from mfn_patcher.recipes.model import Recipe, RecipeError
from mfn_patcher.recipes.parsing import parse
from mfn_patcher.suggestion import did_you_mean

BUILTIN = Path(__file__).parent / "builtin"
"""The folder of the built-in recipes."""


def names() -> list[str]:
    """Return the names of the built-in recipes, the default first."""
    return sorted((path.stem for path in BUILTIN.glob("*.toml")), key=lambda n: (n != DEFAULT, n))


def read_text(which: str) -> tuple[str, str]:
    """Return a recipe's TOML text, and the name that errors call it by.

    Args:
        which: name of a built-in recipe, or else the path of a file.

    Raises:
        RecipeError: There is no such recipe, or the file cannot be read.
    """
    builtin = which in names()
    path = BUILTIN / f"{which}.toml" if builtin else Path(which)
    try:
        return decode(files.read(path)), path.name if builtin else which
    except FileNotFoundError:
        reason = "there is no such file"
    except IsADirectoryError:
        reason = "that path is a directory"
    except UnicodeDecodeError as error:
        reason = f"that file is not {error.encoding.upper()} text, from byte {error.start} on"
    except OSError as error:
        reason = f"that file cannot be read: {error.strerror}"
    raise RecipeError(
        f"there is no recipe {which!r}: no built-in recipe has this name, and {reason}",
        remedy=did_you_mean(which, names())
        or f"The built-in recipes are {', '.join(names())}; name your own by its path.",
    )


def load(which: str = DEFAULT) -> Recipe:
    """Return a built-in recipe, or the recipe in a file.

    Args:
        which: name or path, as `read_text` takes it.

    Raises:
        RecipeError: There is no such recipe, or it is invalid.
    """
    text, source = read_text(which)
    recipe = parse(text, source)
    if which not in names() and recipe.name in names():
        raise RecipeError(
            f"{source}: {recipe.name!r} is the name of a built-in recipe",
            remedy="Give your recipe another `name`: run records tell recipes apart by it.",
        )
    return recipe

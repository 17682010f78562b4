"""Folders of synthetic faces, laid out as a user's own photos would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfn_patcher.data.drawn_face import draw_identity, draw_image


def draw_people(folder: Path, people: int, photos: int) -> Path:
    """Draw a folder per person, `person-00` and so on, with `0.jpg` and so on in each."""
    for person in range(people):
        of_one = folder / f"person-{person:02}"
        of_one.mkdir(parents=True)
        face = draw_identity(np.random.default_rng([7, person]))
        for photo in range(photos):
            rng = np.random.default_rng([7, person, 1 + photo])
            (of_one / f"{photo}.jpg").write_bytes(draw_image(face, rng))
    return folder

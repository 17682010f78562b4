"""Print the similarity of two aligned faces: python embed.py model.onnx a.jpg b.jpg."""

import sys

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])


def embed(path: str) -> npt.NDArray[np.float32]:
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32)
    (embedding,) = session.run(["fc1"], {"data": pixels.transpose(2, 0, 1)[None]})
    unit: npt.NDArray[np.float32] = embedding[0] / np.linalg.norm(embedding[0])
    return unit


print(embed(sys.argv[2]) @ embed(sys.argv[3]))

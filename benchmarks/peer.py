"""The training step of insightface's `arcface_torch`, timed; `gpu.py` runs this in a child process.

    python benchmarks/peer.py FOLDER VARIANT DEVICE BATCH CLASSES SECONDS

FOLDER is recognition/arcface_torch of a checkout. Its network, margin, head and configuration
`ms1mv2_mbf` are imported from there; the step is put together here as its `train_v2.py` does it, on
one device: DistributedDataParallel with gradients compressed to half precision, clipped gradients,
SGD, and the loss read after each step. VARIANT is one of:

* published: the configuration unchanged: scale 2, 512 numbers, mixed precision.
* y1: scale 1 and 128 numbers, the layout of y1; otherwise as published.
* y1-fp32: the same in single precision throughout: no TF32, no compressed gradients, and without
  DistributedDataParallel, which is of no use on one device then.

On the CPU, mixed precision is not used: its autocast is for CUDA. The images stay on the device,
because its loader copies them there during the step. The last line of output is JSON.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

from mfn_patcher.children.programs.step import Clock, TimeIsUpError

CONFIGURATION = "ms1mv2_mbf"
SCALE, NUMBERS = 1, 128  # of y1
MOST_NORM = 5  # what its train_v2.py clips gradients to


class Peer:
    """The network and head of `arcface_torch` in training."""

    def __init__(self, variant: str, device: str, classes: int) -> None:
        """Build them; the process group must be there.

        Args:
            variant: published, y1 or y1-fp32.
            device: cpu or cuda.
            classes: number of identities.
        """
        settings = configuration()
        single = variant == "y1-fp32"
        self.mixed = settings.fp16 and not single and device == "cuda"
        network = importlib.import_module("backbones.mobilefacenet").get_mbf
        if variant == "published":
            numbers = settings.embedding_size
            backbone = network(self.mixed, numbers)
        else:
            numbers = NUMBERS
            backbone = network(self.mixed, numbers, scale=SCALE)
        self.backbone = backbone.to(device).train()
        if not single:
            self.backbone = torch.nn.parallel.DistributedDataParallel(
                self.backbone,
                broadcast_buffers=False,
                device_ids=[0] if device == "cuda" else None,
                bucket_cap_mb=16,
                find_unused_parameters=True,
            )
            self.backbone.register_comm_hook(None, fp16_compress_hook)
            self.backbone._set_static_graph()
        margin = importlib.import_module("losses").CombinedMarginLoss(
            64, *settings.margin_list, settings.interclass_filtering_threshold
        )
        head = importlib.import_module("partial_fc_v2").PartialFC_V2
        self.head = head(margin, numbers, classes, settings.sample_rate, False).train().to(device)
        parameters = [self.backbone.parameters(), self.head.parameters()]
        self.optimizer = torch.optim.SGD(
            [{"params": list(each)} for each in parameters],
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self.scaler = torch.amp.GradScaler(device, growth_interval=100, enabled=self.mixed)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Train on a batch."""
        loss = self.head(self.backbone(images), labels)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), MOST_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        loss.item()


def configuration() -> Any:
    """Return the settings of its configuration on top of its defaults."""
    settings = importlib.import_module("configs.base").config
    settings.update(importlib.import_module(f"configs.{CONFIGURATION}").config)
    return settings


def time_step(step: Callable[[], None], wait: Callable[[], object], seconds: float) -> float:
    """Return the mean seconds of a step, timed as ours is."""
    clock = Clock(wait, seconds)
    try:
        while True:
            step()
            clock(None)
    except TimeIsUpError:
        assert clock.step_seconds
        return clock.step_seconds


def main() -> None:
    """Time one variant and print its rate and memory."""
    folder, variant, device, batch, classes, seconds = sys.argv[1:]
    sys.path.insert(0, folder)
    torch.backends.cudnn.benchmark = True  # as its train_v2.py has it
    if variant == "y1-fp32":
        torch.backends.cudnn.allow_tf32 = False
    if device == "cpu":
        # Its head moves tensors to the GPU, whatever it was given.
        torch.Tensor.cuda = lambda self: self
    drawn = np.random.RandomState(0)
    pixels = drawn.randint(0, 256, (int(batch), 3, 112, 112)).astype("float32")
    images = (torch.from_numpy(pixels).to(device) / 255 - 0.5) / 0.5
    labels = torch.from_numpy(drawn.randint(0, int(classes), int(batch))).to(device)
    with tempfile.TemporaryDirectory() as name:
        distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            init_method=f"file://{Path(name, 'group')}",
            rank=0,
            world_size=1,
        )
        peer = Peer(variant, device, int(classes))
        wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        took = time_step(lambda: peer.step(images, labels.clone()), wait, float(seconds))
        distributed.destroy_process_group()
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps({"rate": int(batch) / took, "peak": peak}))


if __name__ == "__main__":
    main()

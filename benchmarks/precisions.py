"""Training in other precisions against single precision, on a synthetic data set, with some seeds.

    python benchmarks/precisions.py [--steps N] [--seeds N] [--cpu] [--workspace DIR]

Each seed trains stage 2 once in each precision that the device has: the same images in the same
order, from the same parameters. Losses are means of the last twenty steps, accuracies those of the
drawn pairs of the data set after the last step. The recipe's own data set would take hours.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from turns import TOOL, make_workspace, print_table

LOGGED_EVERY = 20
BATCH = 16


def train(workspace: Path, data: Path, models: Path, options: list[str]) -> str:
    """Train, and return the script's output."""
    command = [TOOL, "train", "-q", "--stage", "2", "-w", str(workspace), "--engine", "torch"]
    command += ["--data-dir", str(data), "--models-dir", str(models), "--batch-size", str(BATCH)]
    ran = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=True)
    return ran.stdout


def read(printed: str) -> tuple[float, float]:
    """Return the last loss and the mean accuracy of the last verification of all sets."""
    losses = re.findall(r"lossvalue=([\d.]+)", printed)
    accuracies = re.findall(r"\[(\w+)\]\[\d+\]Accuracy-Flip: ([\d.]+)", printed)
    return float(losses[-1]), statistics.mean({name: float(a) for name, a in accuracies}.values())


def describe(
    precision: str, results: list[tuple[float, float]], single: list[tuple[float, float]]
) -> tuple[str, ...]:
    """Return a row of the table."""
    losses, accuracies = zip(*results)
    apart = [abs(loss - other) for loss, (other, _) in zip(losses, single)]
    return (
        precision,
        f"{statistics.mean(losses):.3f}",
        f"{min(losses):.3f} to {max(losses):.3f}",
        f"{statistics.mean(apart):.3f}",
        f"{statistics.mean(accuracies):.3f}",
    )


def main() -> None:
    """Train all, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args()
    on_cpu = given.cpu or not torch.cuda.is_available()
    precisions = ["fp32", "bf16"] if on_cpu else ["fp32", "tf32", "bf16"]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in precisions}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = given.workspace or make_workspace(folder)
        data = folder / "data"
        subprocess.run([TOOL, "data", "synth", str(data)], check=True, stdout=sys.stderr)
        for seed in range(given.seeds):
            for precision in precisions:
                steps = str(given.steps // LOGGED_EVERY * LOGGED_EVERY + 1)
                options = ["--max-steps", steps, "--checkpoint-every", str(int(steps) - 1)]
                options += ["--seed", str(seed), "--precision", precision]
                options += ["--cpu"] if on_cpu else ["--gpus", "0"]
                # On a GPU, compiling would take longer than training.
                options += ["--", "--compile", "off"]
                models = folder / f"{seed}-{precision}"
                found[precision].append(read(train(workspace, data, models, options)))
                print(seed, precision, found[precision][-1], file=sys.stderr)
    device = "CPU" if on_cpu else torch.cuda.get_device_name()
    print_table(
        f"Stage 2 on the synthetic data set, batches of {BATCH}, {given.steps} steps, "
        f"{given.seeds} seeds, {device}",
        ("", "loss, mean", "loss, least and most", "from that of fp32, mean", "accuracy, mean"),
        [describe(precision, results, found["fp32"]) for precision, results in found.items()],
    )


if __name__ == "__main__":
    main()

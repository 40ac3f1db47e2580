"""What is avoiding what torch is slow at worth? Against torch itself.

    python -m benchmarks.steps

Milliseconds of a forward and a backward pass of a whole network, images' in training
mode and texts' without dropout, with random weights and 16 samples, on the processor:
the median of several steps, both sides in turns. The arithmetic is the same, and so is
what is learnt but for rounding. Then the same of forward passes alone in float32, as in
predictions, of networks with linear layers.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import timm
import torch
from torch import nn
from transformers import BertConfig, BertModel

from benchmarks._measure import Table, print_machine
from sktransfer.backbones._transformers import TextNetwork
from sktransfer.backbones._transformers_attention import use_quick_attention
from sktransfer.training import prediction_context, training_context

CPU = torch.device("cpu")
N_STEPS = 7


@dataclass(frozen=True)
class Case:
    """A network as its library makes it, the same as we have it, and a batch."""

    plain: nn.Module
    ours: nn.Module
    inputs: dict[str, torch.Tensor]


def image_network(name: str, **options: Any) -> Case:
    """Return a network of timm and 16 images at 160 pixels."""
    network = timm.create_model(name, num_classes=0, **options)
    network = network.to(memory_format=torch.channels_last)
    images = torch.randn(16, 3, 160, 160).contiguous(memory_format=torch.channels_last)
    return Case(network, network, {"x": images})


def text_network() -> Case:
    """Return an encoder of the size of MiniLM-L6 and 16 texts of up to 32 tokens.

    It has no dropout, as none of ours has.
    """
    sizes = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6}
    encoder = BertModel(BertConfig(num_attention_heads=12, **sizes)).eval()
    quick = copy.deepcopy(encoder)
    use_quick_attention(quick)
    lengths = torch.arange(17, 33)[:, None]
    inputs = {
        "input_ids": torch.randint(1000, (16, 32)),
        "attention_mask": (torch.arange(32) < lengths).long(),
    }
    return Case(TextNetwork(encoder, "mean"), TextNetwork(quick, "mean"), inputs)


STEPS: dict[str, Callable[[], Case]] = {
    "EfficientNet-Lite0": lambda: image_network("tf_efficientnet_lite0"),
    "MobileNetV3": lambda: image_network("mobilenetv3_large_100"),
    "ConvNeXt-Atto": lambda: image_network("convnext_atto"),
    "BERT of MiniLM's size": text_network,
}
PREDICTIONS: dict[str, Callable[[], Case]] = {
    "ViT-Small": lambda: image_network("vit_small_patch16_224", img_size=160),
    "BERT of MiniLM's size": text_network,
}


def step(case: Case, precision: str, quick: bool) -> None:
    """Compute a forward and a backward pass."""
    if quick:
        network = case.ours
        context = training_context(precision, CPU, network)()
    else:
        network, narrow = case.plain, precision == "bfloat16"
        context = torch.autocast("cpu", torch.bfloat16, enabled=narrow)
    with context:
        output = network(**case.inputs)
    output.float().square().mean().backward()


@torch.inference_mode()
def predict(case: Case, quick: bool) -> None:
    """Compute a forward pass in float32."""
    if not quick:
        case.plain.eval()(**case.inputs)
        return
    with prediction_context("float32", CPU, case.ours)():
        case.ours.eval()(**case.inputs)


def compare(compute: Callable[[bool], None]) -> tuple[float, float, str]:
    """Return the milliseconds that torch takes, and we, and their ratio."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(N_STEPS):
        for quick, times in taken.items():
            start = time.perf_counter()
            compute(quick)
            times.append(time.perf_counter() - start)
    # The first ones set libraries up.
    plain, ours = (1000 * float(np.median(taken[q][1:])) for q in (False, True))
    return plain, ours, f"{plain / ours:.2f}x"


def main() -> None:
    print_machine("cpu")
    table = Table("network", "precision", "ms torch", "ms sktransfer", "ratio")
    for name, make in STEPS.items():
        torch.manual_seed(0)
        case = make()
        for precision in ("float32", "bfloat16"):
            table.row(
                *(name, precision),
                *compare(functools.partial(step, case, precision)),
            )
    print("\nForward passes in float32:\n")
    table = Table("network", "ms torch", "ms sktransfer", "ratio")
    for name, make in PREDICTIONS.items():
        torch.manual_seed(0)
        table.row(name, *compare(functools.partial(predict, make())))


if __name__ == "__main__":
    main()

"""What is avoiding what torch is slow at worth? Against torch itself.

    python -m benchmarks.steps

Milliseconds of a forward and a backward pass of a whole network in training mode, with
random weights and 16 samples, on the processor: the median of several steps, both sides
in turns. The arithmetic is the same, and so is what is learnt but for rounding. Then
the same of forward passes alone in float32, as in predictions, of networks with linear
layers.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable

import numpy as np
import timm
import torch
from torch import nn
from transformers import BertConfig, BertModel

from benchmarks._measure import Table, print_machine
from sktransfer.training._quick_products import QuickProducts, onednn_is_quicker
from sktransfer.training._quick_steps import QuickSteps

N_STEPS = 7


def image_network(name: str) -> Callable[[], torch.Tensor]:
    """Return a forward pass of 16 images at 160 pixels."""
    network = timm.create_model(name, num_classes=0).to(
        memory_format=torch.channels_last
    )
    images = torch.randn(16, 3, 160, 160).contiguous(memory_format=torch.channels_last)
    return lambda: network(images)


def text_network() -> Callable[[], torch.Tensor]:
    """Return a forward pass of 16 texts of 32 tokens, the size of MiniLM-L6."""
    sizes = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6}
    network: nn.Module = BertModel(BertConfig(num_attention_heads=12, **sizes))
    tokens = torch.randint(1000, (16, 32))
    return lambda: network.eval()(tokens).last_hidden_state


def vision_transformer() -> Callable[[], torch.Tensor]:
    """Return a forward pass of 16 images at 160 pixels, in evaluation mode."""
    network = timm.create_model("vit_small_patch16_224", img_size=160, num_classes=0)
    images = torch.randn(16, 3, 160, 160)
    return lambda: network.eval()(images)


NETWORKS: dict[str, Callable[[], Callable[[], torch.Tensor]]] = {
    "EfficientNet-Lite0": lambda: image_network("tf_efficientnet_lite0"),
    "MobileNetV3": lambda: image_network("mobilenetv3_large_100"),
    "ConvNeXt-Atto": lambda: image_network("convnext_atto"),
    "BERT of MiniLM's size": text_network,
}


PREDICTING: dict[str, Callable[[], Callable[[], torch.Tensor]]] = {
    "ViT-Small": vision_transformer,
    "BERT of MiniLM's size": text_network,
}


def step(forward: Callable[[], torch.Tensor], precision: str, quick: bool) -> None:
    """Compute a forward and a backward pass."""
    cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    with cast, QuickSteps() if quick else contextlib.nullcontext():
        output = forward()
    output.float().square().mean().backward()


@torch.inference_mode()
def predict(forward: Callable[[], torch.Tensor], quick: bool) -> None:
    """Compute a forward pass in float32, with oneDNN where it is the quicker one."""
    quick = quick and onednn_is_quicker()
    with QuickProducts() if quick else contextlib.nullcontext():
        forward()


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
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        forward = make()
        for precision in ("float32", "bfloat16"):
            table.row(
                *(name, precision),
                *compare(functools.partial(step, forward, precision)),
            )
    print("\nForward passes in float32:\n")
    table = Table("network", "ms torch", "ms sktransfer", "ratio")
    for name, make in PREDICTING.items():
        torch.manual_seed(0)
        table.row(name, *compare(functools.partial(predict, make())))


if __name__ == "__main__":
    main()

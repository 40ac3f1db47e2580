"""Low-rank adapters: a few weights beside the pretrained ones, in place of all."""

from __future__ import annotations

from typing import Any

from torch import nn

from sktransfer.training._module import FineTunedNetwork

#: An adapter's output counts this many times its rank's inverse times as much.
_ALPHA = 2


def add_adapters(network: FineTunedNetwork, rank: int) -> None:
    """Let adapters train in place of the released stages' own weights.

    LoRA (Hu et al. 2022, section 4.1), on every linear layer.

    Parameters
    ----------
    network : FineTunedNetwork
        Changed in place; `merge_adapters` undoes it.
    rank : int
        Rank of each adapter's product of two matrices.

    Raises
    ------
    ImportError
        If peft is not installed.
    ValueError
        If no released stage has a linear layer.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ImportError(
            "trainable='lora' needs the package peft, which is not installed: "
            "pip install 'sktransfer[lora]'."
        ) from error
    # No subclasses: attention of torch's own reads its weights past the adapter.
    linear = [
        name
        for name, module in network.tail.named_modules()
        if type(module) is nn.Linear and module.weight.requires_grad
    ]
    if not linear:
        raise ValueError(
            "trainable='lora' adapts linear layers, as encoders of texts and vision "
            "transformers have. The released stages of this backbone have none: set "
            "trainable='all', or choose another backbone."
        )
    config = LoraConfig(r=rank, lora_alpha=_ALPHA * rank, target_modules=linear)
    inject_adapter_in_model(config, network.tail)
    network.stage_of = {
        name: network.stage_of.get(_original(name), 0)
        for name, _ in network.tail.named_parameters()
    }
    network.adapted = True


def merge_adapters(network: FineTunedNetwork) -> None:
    """Add the adapters to the weights that they stand beside, and remove them."""
    from peft.tuners.lora import LoraLayer

    adapted: list[tuple[str, Any]] = [
        (name, module)
        for name, module in network.tail.named_modules()
        if isinstance(module, LoraLayer)
    ]
    for name, module in adapted:
        module.merge()
        network.tail.set_submodule(name, module.get_base_layer())
    network.stage_of = {_original(n): stage for n, stage in network.stage_of.items()}
    network.adapted = False
    network.eval()


def _original(name: str) -> str:
    """Return the name that a parameter has, or would have, without adapters."""
    layer, adapter, _ = name.partition(".lora_")
    return f"{layer}.weight" if adapter else name.replace(".base_layer.", ".")

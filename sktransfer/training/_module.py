"""The trainable part of a network: the tail of a backbone and a new head."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from sktransfer.backbones import Backbone, Cut
from sktransfer.features import SAMPLE_OF_WINDOW, mean_of_windows
from sktransfer.training._statistics import batch_norms


class FineTunedNetwork(nn.Module):
    """The released stages of a backbone, and a head.

    Parameters
    ----------
    tail : Module
        Private copy of the pristine tail: `tail(**batch)` gives embeddings.
    head : Module
        Embeddings to logits, (n_samples, n_outputs).
    dropout : float
        Share of the embedding that is zeroed at random during training.
    depth : int
        Where `tail` was cut off its backbone.
    stage_of : dict
        Stage of each parameter of `tail`, by name.
    freeze_depth : int
        How many stages, from the input, stay frozen.
    """

    def __init__(
        self,
        tail: nn.Module,
        head: nn.Module,
        *,
        dropout: float,
        depth: int,
        stage_of: dict[str, int],
        freeze_depth: int,
    ) -> None:
        super().__init__()
        self.tail = tail
        self.dropout = nn.Dropout(dropout)
        self.head = head
        self.depth = depth
        self.stage_of = stage_of
        #: Whether adapters train in place of the tail's own weights.
        self.adapted = False
        #: Whether batch normalisation in released stages takes statistics of batches.
        self.normalises_batches = True
        self.eval().release(freeze_depth)

    def release(self, freeze_depth: int) -> None:
        """Let the stages from `freeze_depth` on train, and no others."""
        for name, parameter in self.tail.named_parameters():
            trains = self.stage_of.get(name, 0) >= freeze_depth
            trains = trains and (not self.adapted or ".lora_" in name)
            parameter.requires_grad_(trains)
        if self.training:
            self.eval().train()

    @property
    def released(self) -> bool:
        """Whether any stage of the backbone trains."""
        return _trains(self.tail)

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        """Return logits, (n_samples, n_outputs)."""
        return self.head(self.dropout(embed(self.tail, **batch)))

    def headless(self) -> FineTunedNetwork:
        """Return this network, with the same weights, without its head."""
        shell = copy.copy(self)
        shell._modules = {**self._modules, "head": nn.Identity()}
        return shell

    def from_inputs(self, backbone: Backbone) -> FineTunedNetwork:
        """Return a copy of this network with the frozen part in its tail.

        It is in evaluation mode, and no weight asks for gradients: those of inputs and
        of states in between can be taken, and hooks set, without a trace elsewhere.

        Parameters
        ----------
        backbone : Backbone
            The pristine one, on the processor.
        """
        trained = backbone.with_tail(self.tail, self.depth)
        whole = FineTunedNetwork(
            trained.network,
            copy.deepcopy(self.head),
            dropout=0.0,
            depth=0,
            stage_of={},
            freeze_depth=1,
        )
        return whole.requires_grad_(False)

    def train(self, mode: bool = True) -> FineTunedNetwork:
        """Set training mode, for the head and batch normalisation in released stages.

        The latter takes the statistics of each batch, if the task allows it, and moves
        those for predictions along: those of the pretraining fit images unlike its own
        badly. Dropout and stochastic depth of the backbone stay off, which saves the
        time of their random numbers.
        """
        if mode and self.training:
            return self  # Asked for before each step.
        super().train(mode)
        self.tail.eval()
        if mode and self.normalises_batches:
            whole = all(p.requires_grad for p in self.tail.parameters())
            for norm in batch_norms(self.tail):
                norm.training = whole or _trains(norm)
        for module in self.tail.modules():
            if isinstance(module, nn.RNNBase):
                # cuDNN computes no gradients in evaluation mode.
                module.training = mode and _trains(module)
            elif isinstance(module, nn.TransformerEncoderLayer):
                # In evaluation mode torch reads the weights past their adapters.
                module.training = self.adapted
        return self


def embed(tail: nn.Module, **batch: torch.Tensor) -> torch.Tensor:
    """Return the embeddings that a tail makes of a batch, one a sample."""
    windows = batch.pop(SAMPLE_OF_WINDOW, None)
    embeddings: torch.Tensor = tail(**batch)
    return embeddings if windows is None else mean_of_windows(embeddings, windows)


def _trains(module: nn.Module) -> bool:
    """Say whether a module has weights that train."""
    return any(parameter.requires_grad for parameter in module.parameters())


def new_network(
    backbone: Backbone, cut: Cut, freeze_depth: int, head: nn.Module, dropout: float
) -> FineTunedNetwork:
    """Return a network to train: only the tail's weights are copied."""
    return FineTunedNetwork(
        copy.deepcopy(cut.tail),
        head,
        dropout=dropout,
        depth=cut.depth,
        stage_of=backbone.tail_stages(cut.depth),
        freeze_depth=freeze_depth,
    )


def parameter_groups(
    network: FineTunedNetwork, lr: float, layer_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return the optimizer's groups: a learning rate for each stage.

    The head and the last stage learn at `lr`, each stage below at `layer_decay` times
    the rate of the one above (Howard and Ruder 2018, section 3.2). Biases and
    normalisation weights are not decayed.
    """
    top = max(network.stage_of.values(), default=0)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        inner = name.removeprefix("tail.")
        below = top - network.stage_of[inner] if name.startswith("tail.") else 0
        groups.setdefault((below, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": lr * layer_decay**below,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (below, decays), parameters in sorted(groups.items(), key=lambda g: g[0])
    ]


def add_gradients(loss: torch.Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Add the gradients of a loss to those there are; if that fails, leave them."""
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter.grad is None:
            parameter.grad = gradient
        elif gradient is not None:
            parameter.grad += gradient


def l2_sp(
    network: FineTunedNetwork, pristine: nn.Module, strength: float
) -> Callable[[], torch.Tensor] | None:
    """Return what pulls weights towards the pretrained ones, if anything does.

    The penalty of Li, Grandvalet and Davoine 2018, section 3.2: half the squared
    distance, times `strength`.

    Parameters
    ----------
    network : FineTunedNetwork
        On the device of `pristine`.
    pristine : Module
        What `network.tail` is a copy of.
    strength : float
        0 is no penalty.
    """
    start = dict(pristine.named_parameters())
    released = network.tail.named_parameters()
    pairs = [(p, start[name]) for name, p in released if strength and p.requires_grad]
    return functools.partial(_half_distance, pairs, strength) if pairs else None


def _half_distance(
    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], strength: float
) -> torch.Tensor:
    squares = [(weights - start).square().sum() for weights, start in pairs]
    return strength / 2 * torch.stack(squares).sum()


def take_over(network: FineTunedNetwork, start: FineTunedNetwork) -> None:
    """Give a new network the weights of another one, whose tail is the same."""
    given, weights = start.state_dict(), network.state_dict()
    new, old = ({n: w.shape for n, w in each.items()} for each in (weights, given))
    if new != old:
        raise ValueError(
            "Training goes on (warm_start=True, or partial_fit) with the head of the "
            f"last fit. The 'head' parameter is another one now: its weights are "
            f"{_heads(new)}, and those of the last fit {_heads(old)}. Leave it as it "
            "was, or set warm_start=False."
        )
    network.load_state_dict(given)


def _heads(shapes: dict[str, torch.Size]) -> list[tuple[int, ...]]:
    """Return the shapes of the head's weights."""
    return [tuple(shape) for name, shape in shapes.items() if name.startswith("head.")]

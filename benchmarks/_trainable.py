"""The trainable part alone: a bare PyTorch loop over activations in memory."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.rnn import pad_sequence
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from benchmarks import _data, _plain
from benchmarks._measure import synchronize
from sktransfer.backbones import Backbone, Cut, load_backbone
from sktransfer.features._allocation import keep_freed_memory
from sktransfer.training import prediction_context, training_context

BATCH_SIZE = 16
#: That of the estimators.
DROPOUT = 0.1
#: Samples that batch normalisation takes its statistics of at a time.
STATISTICS_BATCH_SIZE = 64


@dataclass(frozen=True)
class Activations:
    """What a tail takes of each sample, computed beforehand.

    Parameters
    ----------
    cut : Cut
        The backbone in two halves.
    states : list of Tensor
        At the cut; those of texts differ in length.
    embeddings : ndarray of shape (n_samples, n_features)
        What the pristine backbone makes of the samples.
    """

    cut: Cut
    states: list[torch.Tensor]
    embeddings: np.ndarray


def our_backbone(kind: str) -> Backbone:
    """Return the backbone as sktransfer loads it."""
    if kind == "text":
        return load_backbone(_plain.TEXT_BACKBONE, "text")
    name = f"timm/{_plain.IMAGE_BACKBONE}"
    return load_backbone(name, "image", image_size=_data.IMAGE_SIZE)


@torch.inference_mode()
def activations(kind: str, X: Any, freeze_depth: int, device: str) -> Activations:
    """Run the stages before the last `-freeze_depth` ones over the samples."""
    backbone = our_backbone(kind).on(torch.device(device))
    cut = backbone.cut(backbone.n_stages + freeze_depth)
    states, embeddings = [], []
    for index in range(len(X)):
        batch = dict(next(_plain.batches(kind, X[index : index + 1], 1)))
        if kind == "image":
            batch = {"pixel_values": batch["X"]}
        batch.pop("token_type_ids", None)
        inputs = cut.tail_batch(**{k: v.to(device) for k, v in batch.items()})
        states.append(inputs["state"][0].cpu().clone())
        embeddings.append(cut.tail(**inputs)[0].cpu().numpy())
    return Activations(cut, states, np.stack(embeddings))


def tail_batch(states: Sequence[torch.Tensor], cut: Cut, device: str) -> Any:
    """Return padded states, with an attention mask if the tail takes one."""
    if not cut.side:
        stacked = torch.stack(list(states)).to(device)
        last = torch.channels_last if stacked.ndim == 4 else torch.contiguous_format
        return {"state": stacked.contiguous(memory_format=last)}
    lengths = torch.tensor([len(state) for state in states])
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    padded = pad_sequence(list(states), batch_first=True)
    return {"state": padded.to(device), "attention_mask": mask.to(device)}


def grouped(states: Sequence[torch.Tensor], indices: Any, size: int) -> list[Any]:
    """Divide indices into batches of states of about one length."""
    ordered = sorted(indices, key=lambda index: len(states[index]))
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def trainable_copy(cut: Cut, device: str) -> nn.Module:
    """Return the tail to train, in evaluation mode."""
    tail: nn.Module = copy.deepcopy(cut.tail)
    return tail.to(device).requires_grad_(True).eval()


def batch_norms(tail: nn.Module) -> list[_BatchNorm]:
    """Return the parts of a tail that act differently in training: no dropout does."""
    return [module for module in tail.modules() if isinstance(module, _BatchNorm)]


@dataclass(frozen=True)
class Beginning:
    """What a fit begins with; it is the same for all learning rates of a fold.

    Parameters
    ----------
    tail : Module
        With batch normalisation that has the statistics of the training samples.
    embeddings : ndarray of shape (n_samples, n_features)
        What it makes of them.
    """

    tail: nn.Module
    embeddings: np.ndarray


def beginning(
    given: Activations, train: np.ndarray, device: str, precision: str = "auto"
) -> Beginning:
    """Take the statistics of the training samples, if there are any to take."""
    tail = trainable_copy(given.cut, device)
    norms = batch_norms(tail)
    if not norms:
        return Beginning(tail, given.embeddings[train])
    found = np.empty_like(given.embeddings)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # The mean over batches.
    with torch.no_grad(), training_context(precision, torch.device(device), tail)():
        for training in (True, False):
            for norm in norms:
                norm.train(training)
            for indices in grouped(given.states, train, STATISTICS_BATCH_SIZE):
                states = [given.states[index] for index in indices]
                batch = tail_batch(states, given.cut, device)
                found[indices] = tail(**batch).float().cpu().numpy()
    return Beginning(tail, found[train])


def fit_and_predict(
    given: Activations,
    begin: Beginning,
    codes: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    device: str,
    *,
    precision: str = "auto",
    max_epochs: int = 3,
) -> float:
    """Solve the head, train tail and head, predict; return the seconds it took."""
    keep_freed_memory()
    start = time.perf_counter()
    cut, states = given.cut, given.states
    tail = copy.deepcopy(begin.tail)
    context = training_context(precision, torch.device(device), tail)
    # Several threads would wait for more to solve, and keep torch's from computing.
    with threadpool_limits(1, user_api="blas"):
        solved = LogisticRegression(max_iter=1000).fit(begin.embeddings, codes[train])
    head = nn.Linear(given.embeddings.shape[1], int(codes.max()) + 1).to(device)
    slopes = solved.coef_
    if len(slopes) == 1:
        slopes = np.concatenate([-slopes, slopes]) / 2
    head.weight.data.copy_(torch.from_numpy(slopes))
    parameters = [*tail.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    targets = torch.from_numpy(codes).to(device)
    for norm in batch_norms(tail):
        norm.train().momentum = 0.1
    for epoch in range(max_epochs):
        batches = grouped(states, train, BATCH_SIZE)
        np.random.default_rng(epoch).shuffle(batches)
        for indices in batches:
            with context():
                batch = tail_batch([states[i] for i in indices], cut, device)
                embeddings = nn.functional.dropout(tail(**batch), DROPOUT)
                logits = head(embeddings)
            loss = nn.functional.cross_entropy(logits.float(), targets[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    tail.eval()
    context = prediction_context(precision, torch.device(device), tail)
    with torch.inference_mode(), context():
        for indices in grouped(states, test, BATCH_SIZE):
            batch = tail_batch([states[i] for i in indices], cut, device)
            head(tail(**batch)).argmax(dim=1).tolist()
    synchronize(device)
    return time.perf_counter() - start


def convolution_backward_operations(
    grad_output: Any, inputs: Any, weight: Any, *options: Any, out_shape: Any = None
) -> int:
    """Count the gradients that a convolution is asked for, each as its forward pass.

    torch's own formula takes convolutions by channel for full ones.
    """
    transposed, wanted = options[4], options[7]
    forward = conv_flop_count(inputs, weight, grad_output, transposed)
    return forward * (int(wanted[0]) + int(wanted[1]))


def step_operations(given: Activations) -> tuple[float, float]:
    """Return multiplications and additions a sample, in training and in predicting.

    Those of the tail, padding left out, as torch counts them in matrix products,
    attention and convolutions. The passes in which batch normalisation takes
    statistics are left out.
    """
    tail = trainable_copy(given.cut, "cpu")
    backward = torch.ops.aten.convolution_backward
    counts = []
    for training in (True, False):
        counter = FlopCounterMode(
            display=False, custom_mapping={backward: convolution_backward_operations}
        )
        with counter, torch.set_grad_enabled(training):
            for state in given.states:
                outputs = tail(**tail_batch([state], given.cut, "cpu"))
                if training:
                    outputs.sum().backward()
        counts.append(counter.get_total_flops() / len(given.states))
    return counts[0], counts[1]

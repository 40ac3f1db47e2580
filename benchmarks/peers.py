"""How long does one fit and predict take, at equal accuracy? Against other tools.

    python -m benchmarks.peers [--kind text|image] [--device cuda]

200 and 500 training samples, 300 held out, three draws (accuracy: mean and standard
error over draws; seconds: median). Everybody has the same backbone, and a process of
their own for each draw; the clock runs from raw samples to predicted labels, loading
the weights included, importing libraries not. Our store is a fresh folder each time.

A ratio compares a tool with the estimator that does the same thing: what freezes the
backbone with `freeze_depth="all"`, SetFit and what fine-tunes the last stages with the
default freeze depth, and what fine-tunes the whole network with `freeze_depth=0`, at
the same rate for as many epochs. Learning rates and epochs are set so that each tool is
near its best.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from benchmarks import _data, _ours, _plain
from benchmarks._measure import (
    Ratios,
    Table,
    apart,
    disagreement,
    kinds,
    parser,
    print_machine,
    with_error,
)

Predict = Callable[[Any, Any, Any, int], Any]

N_HELD_OUT = 300


def embeddings(X: Any, y: Any, X_new: Any, seed: int, device: str) -> Any:
    """Fit a logistic regression on what sentence-transformers embeds."""
    from sentence_transformers import SentenceTransformer

    start = time.perf_counter()
    encoder = SentenceTransformer(_plain.text_folder(), device=device)
    regression = LogisticRegression(max_iter=5000).fit(encoder.encode(list(X)), y)
    return regression.predict(encoder.encode(list(X_new))), start


def setfit(X: Any, y: Any, X_new: Any, seed: int, device: str) -> Any:
    """Train SetFit with two pairs of each class for every text."""
    from datasets import Dataset, disable_progress_bars
    from setfit import SetFitModel, Trainer, TrainingArguments

    disable_progress_bars()
    start = time.perf_counter()
    model = SetFitModel.from_pretrained(_plain.text_folder(), device=device)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_iterations=2,
            num_epochs=1,
            batch_size=16,
            seed=seed,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            show_progress_bar=False,
        )
        data = Dataset.from_dict({"text": list(X), "label": y.tolist()})
        Trainer(model=model, args=arguments, train_dataset=data).train()
    return np.asarray(model.predict(list(X_new))), start


def trainer(X: Any, y: Any, X_new: Any, seed: int, device: str) -> Any:
    """Fine-tune the whole network with transformers' Trainer, batches padded alone."""
    from transformers import (
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    start = time.perf_counter()
    set_seed(seed)
    tokenizer = _plain.tokenizer()
    model = AutoModelForSequenceClassification.from_pretrained(
        _plain.text_folder(), num_labels=len(np.unique(y))
    )
    encode = tokenizer(list(X), truncation=True)["input_ids"]
    data = [{"input_ids": a, "labels": int(b)} for a, b in zip(encode, y, strict=True)]
    new = [{"input_ids": ids} for ids in tokenizer(list(X_new))["input_ids"]]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=WHOLE_EPOCHS,
            learning_rate=WHOLE_RATE,
            warmup_steps=0.1,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=64,
            use_cpu=device == "cpu",
            dataloader_pin_memory=device != "cpu",
            seed=seed,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        made = Trainer(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        made.train()
        outputs = made.predict(new).predictions
    return outputs.argmax(axis=1), start


def timm_features(X: Any, y: Any, X_new: Any, seed: int, device: str) -> Any:
    """Fit a logistic regression on timm's pooled features, in batches of 64."""
    start = time.perf_counter()
    network = _plain.pristine("image").to(device).eval()

    @torch.inference_mode()
    def embed(paths: Any) -> np.ndarray:
        found = _plain.batches("image", paths, 64)
        return torch.cat([network(b["X"].to(device)).cpu() for b in found]).numpy()

    regression = LogisticRegression(max_iter=5000).fit(embed(X), y)
    return regression.predict(embed(X_new)), start


def plain(X: Any, y: Any, X_new: Any, seed: int, device: str, kind: str) -> Any:
    """Fine-tune the last stages with plain skorch, as deeply as our default does."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    net = _plain.classifier(
        kind,
        module__n_classes=len(np.unique(y)),
        module__freeze_depth=-2 if kind == "text" else -1,
        lr=1e-3,
        max_epochs=5,
        device=device,
    )
    together = _plain.inputs(kind, np.concatenate([X, X_new]))
    net.fit(together[: len(X)], y)
    return net.predict(together[len(X) :]), start


def ours(
    X: Any, y: Any, X_new: Any, seed: int, device: str, kind: str, **parameters: Any
) -> Any:
    """Fit our estimator, its store a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        made = _ours.classifier(
            kind, Path(folder), random_state=seed, device=device, **parameters
        )
        return made.fit(X, y).predict(X_new), start


def clocked(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a method predicts, and the seconds since it has started its clock."""
    predicted, start = method(*args, **kwargs)
    return predicted, time.perf_counter() - start


FROZEN, TUNED = "sktransfer, frozen", "sktransfer, fine-tuned"
WHOLE = "sktransfer, whole network"
#: Of those that fine-tune the whole network.
WHOLE_EPOCHS, WHOLE_RATE = 5, 2e-4

#: By kind: the methods by name, each with its arguments and whom it is compared with.
METHODS: dict[str, dict[str, tuple[Callable[..., Any], dict[str, Any], str]]] = {
    "text": {
        FROZEN: (ours, {"kind": "text", "freeze_depth": "all"}, ""),
        "sentence-transformers + regression": (embeddings, {}, FROZEN),
        TUNED: (ours, {"kind": "text"}, ""),
        "SetFit": (setfit, {}, TUNED),
        "plain skorch": (plain, {"kind": "text"}, TUNED),
        WHOLE: (
            ours,
            {
                "kind": "text",
                "freeze_depth": 0,
                "max_epochs": WHOLE_EPOCHS,
                "lr": WHOLE_RATE,
            },
            "",
        ),
        "transformers Trainer": (trainer, {}, WHOLE),
    },
    "image": {
        FROZEN: (ours, {"kind": "image", "freeze_depth": "all"}, ""),
        "timm features + regression": (timm_features, {}, FROZEN),
        TUNED: (ours, {"kind": "image", "max_epochs": 5}, ""),
        "plain skorch": (plain, {"kind": "image"}, TUNED),
    },
}


def table(kind: str, size: int, options: Any, folder: Path, ratios: Ratios) -> None:
    """Print a row for each method on training sets of one size."""
    n_new = options.n_held_out
    X, y = _data.samples(kind, size * options.draws + n_new, folder)
    codes = np.unique(y, return_inverse=True)[1]
    X_new, y_new = X[:n_new], codes[:n_new]
    methods = {
        name: method
        for name, method in METHODS[kind].items()
        if options.only is None or (method[2] or name).endswith(options.only)
    }
    if not methods:
        return
    seconds, scores, memory = defaultdict(list), defaultdict(list), {}
    for seed in range(options.draws):
        drawn = slice(n_new + seed * size, n_new + (seed + 1) * size)
        for name, (method, more, _) in methods.items():
            told = (X[drawn], codes[drawn], X_new, seed, options.device)
            done = apart(clocked, method, *told, **more)
            predicted, taken = done.value
            seconds[name].append(taken)
            scores[name].append(float(np.mean(predicted == y_new)))
            memory[name] = done.memory
    print(f"\n{kind}, {size} training samples:\n")
    rows = Table("tool", "seconds", "accuracy", "MiB", "ratio")
    for name, (_, _, rival) in methods.items():
        taken, ratio = float(np.median(seconds[name])), ""
        if rival:
            reason = disagreement(scores[rival], scores[name], n_new * options.draws)
            rival_taken = float(np.median(seconds[rival]))
            what = f"{name}, {size} {kind}s, against {rival}"
            ratio = ratios.cell(what, taken, rival_taken, reason)
        rows.row(name, taken, with_error(scores[name]), memory[name], ratio)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[200, 500])
    options.add_argument("--draws", type=int, default=3, help="at least 2")
    options.add_argument(
        "--only",
        choices=("frozen", "fine-tuned", "whole network"),
        help="the one estimator, and what it is compared with",
    )
    options.add_argument("--n-held-out", type=int, default=N_HELD_OUT)
    chosen = options.parse_args()
    print_machine(chosen.device, "sentence-transformers", "setfit", "accelerate")
    ratios = Ratios()
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds(chosen):
            for size in chosen.sizes:
                table(kind, size, chosen, Path(folder), ratios)
    ratios.finish()


if __name__ == "__main__":
    main()

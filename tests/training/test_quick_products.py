"""Linear layers in float32 with oneDNN: the same as torch's own, only quicker."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import profile
from transformers import BertConfig, BertModel

from sktransfer.training import prediction_context
from sktransfer.training._quick_products import QuickProducts, onednn_is_quicker

CPU = torch.device("cpu")
MODULE = "sktransfer.training._quick_products"

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)


@pytest.fixture(autouse=True)
def quicker(monkeypatch) -> None:
    """Have oneDNN be the quicker one on any processor."""
    monkeypatch.setattr(f"{MODULE}.onednn_is_quicker", lambda: True)


@pytest.fixture
def small(monkeypatch) -> None:
    """Have small layers be worth it."""
    monkeypatch.setattr(f"{MODULE}._LEAST_WEIGHTS", 0)
    monkeypatch.setattr(f"{MODULE}._LEAST_SIDE", 1)


@pytest.fixture
def capable(monkeypatch) -> Iterator[dict]:
    """Capabilities of the processor, to be filled in."""
    given: dict = {}
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: given)
    onednn_is_quicker.cache_clear()
    yield given
    onednn_is_quicker.cache_clear()


def computed_by_onednn(compute) -> bool:
    """Say whether a linear layer is computed with oneDNN."""
    with profile() as seen:
        compute()
    names = {event.key for event in seen.key_averages()}
    assert "aten::linear" in names
    return "aten::mkldnn_linear" in names


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 24), (3, 5, 24), (2, 3, 4, 5, 24)])
def test_values(shape, bias):
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 40, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        expected = layer(x)
        with QuickProducts():
            found = layer(x)
            assert computed_by_onednn(lambda: layer(x))
    assert found.shape == expected.shape
    assert found.layout is torch.strided
    assert relative(found, expected) < 1e-5


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "bias",
    [torch.randn(80)[::2], torch.randn(1).expand(40), torch.randn(40)],
    ids=["strided", "expanded", "contiguous"],
)
def test_strides(bias):
    torch.manual_seed(0)
    x, weight = torch.randn(24, 6).T, torch.randn(24, 40).T
    expected = F.linear(x, weight, bias)
    with QuickProducts(), torch.inference_mode():
        assert computed_by_onednn(lambda: F.linear(x, weight, bias))
        found = F.linear(input=x, weight=weight, bias=bias)
    assert relative(found, expected) < 1e-5


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("shape", [(), (1,), (1, 40), (6, 40)])
def test_a_bias_that_is_broadcast(shape):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(6, 24), torch.randn(40, 24), torch.randn(shape)
    expected = F.linear(x, weight, bias)
    with QuickProducts(), torch.no_grad():
        assert torch.equal(F.linear(x, weight, bias), expected)


def test_large_layers_only_whatever_the_number_of_rows():
    large, small, narrow = nn.Linear(512, 256), nn.Linear(256, 256), nn.Linear(2**17, 2)
    with QuickProducts(), torch.no_grad():
        for n_rows in (2, 100):
            assert computed_by_onednn(lambda n=n_rows: large(torch.randn(n, 512)))
        assert not computed_by_onednn(lambda: large(torch.randn(1, 512)))
        assert not computed_by_onednn(lambda: small(torch.randn(4096, 256)))
        assert not computed_by_onednn(lambda: narrow(torch.randn(16, 2**17)))
    with torch.no_grad():
        assert not computed_by_onednn(lambda: large(torch.randn(2, 512)))


@pytest.mark.usefixtures("small")
def test_nothing_changes_where_gradients_are_recorded():
    layer, x = nn.Linear(24, 40), torch.randn(5, 24)
    expected = layer(x)
    with QuickProducts():
        assert not computed_by_onednn(lambda: layer(x))
        found = layer(x)
    assert torch.equal(found, expected)
    assert found.requires_grad


@pytest.mark.usefixtures("small")
def test_what_onednn_does_not_take():
    layer, x = nn.Linear(24, 40), torch.randn(5, 24)
    doubles = nn.Linear(24, 40).double()
    with torch.no_grad():
        expected = layer(x)
        with QuickProducts():
            assert not computed_by_onednn(lambda: doubles(x.double()))
            # More dimensions than its layout has.
            deep = layer(x.reshape(1, 1, 1, 5, 1, 24))
            torch.testing.assert_close(deep.flatten(0, -2), expected)
            torch.testing.assert_close(torch.vmap(layer)(x), expected)
            torch.testing.assert_close(layer(x.to_sparse()), expected)
            torch.testing.assert_close(layer(x.to_mkldnn()).to_dense(), expected)
            weights = F.linear(x, layer.weight[0])
            torch.testing.assert_close(weights, x @ layer.weight[0])
            with torch.autocast("cpu", torch.bfloat16):
                assert layer(x).dtype is torch.bfloat16
            with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
                layer(x[:, 1:])


def _compiled_and_not() -> None:
    part = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 256))
    compiled, x = torch.compile(part, backend="aot_eager"), torch.randn(5, 256)
    with torch.no_grad():
        expected = part(x)
        with QuickProducts():
            torch.testing.assert_close(compiled(x), expected)


def test_a_compiled_part():
    # In a process of its own: those forked after a compilation don't get far.
    process = multiprocessing.get_context("spawn").Process(target=_compiled_and_not)
    process.start()
    process.join(300)
    assert process.exitcode == 0


def test_contexts_of_predictions():
    layer, x = nn.Linear(512, 256), torch.randn(16, 512)
    for precision in ("auto", "float32"):
        with prediction_context(precision, CPU, layer)(), torch.inference_mode():
            assert computed_by_onednn(lambda: layer(x))
    with prediction_context("bfloat16", CPU, layer)():
        assert layer(x).dtype is torch.bfloat16


def takes_quick_products(network: nn.Module) -> bool:
    with prediction_context("auto", CPU, network)():
        current = torch.overrides._get_current_function_mode()
    return isinstance(current, QuickProducts)


def test_networks_that_gain():
    convolution, narrow = nn.Conv2d(512, 512, 1), nn.Linear(2**17, 3)
    large, lazy = nn.Linear(256, 512), nn.LazyLinear(512)
    fused = nn.TransformerEncoderLayer(256, 2)
    for parts in ([convolution, narrow], [lazy], [fused, large]):
        assert not takes_quick_products(nn.Sequential(*parts))
    normed = nn.utils.parametrizations.spectral_norm(nn.Linear(256, 512))
    for parts in ([convolution, large], [normed]):
        assert takes_quick_products(nn.Sequential(*parts))


def test_whole_network():
    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
    network = BertModel(BertConfig(num_attention_heads=4, **sizes)).eval()
    tokens = torch.randint(1000, (16, 64))
    with torch.inference_mode():
        expected = network(tokens).last_hidden_state
        with QuickProducts():
            assert computed_by_onednn(lambda: network(tokens))
            found = network(tokens).last_hidden_state
    assert relative(found, expected) < 1e-5


@pytest.mark.parametrize(
    ("name", "able", "expected"),
    [
        ("AMD EPYC 9654 96-Core Processor", True, True),
        ("AMD EPYC 7763 64-Core Processor", False, False),
        ("Intel(R) Xeon(R) Platinum 8480+", True, False),
        ("Intel(R) Core(TM) i7-1185G7", True, False),
    ],
)
def test_processors(capable, name, able, expected):
    capable.update(cpu_name=name, avx512_f=able)
    assert onednn_is_quicker() is expected


def test_torch_without_mkl(capable, monkeypatch):
    capable.update(cpu_name="AMD EPYC", avx512_f=True)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert onednn_is_quicker() is False

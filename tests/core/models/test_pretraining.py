"""Pretrained weights: each layout computes what the network computed that it came from."""

import copy
import os
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from bu_core.config import Config
from bu_core.models import Classifier, build, pretraining
from tests.helpers import refusal


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def fresh(name: str = "resnet50") -> Classifier:
    return copy.deepcopy(drawn(name))


@cache
def drawn(name: str) -> Classifier:
    """To draw the weights of a ResNet takes longer than to copy them."""
    return build(name, 3, 4, 1, seed=3)


def randomised(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if "running_mean" in name:
                value += 0.1 * torch.rand(value.shape, generator=generator)
    return network.eval()


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_layout_computes_what_torchvision_does(images: Tensor, tmp_path: Path, name: str):
    from torchvision import models

    network = randomised(getattr(models, name)())
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = fresh(name).eval()
    pretraining.load_file(model, str(tmp_path / "w.pth"))
    mean, deviation = (torch.tensor(values)[:, None, None] for values in pretraining.IMAGENET)
    network.fc = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(model.features(images), network((images - mean) / deviation), rtol=1e-3, atol=1e-3)


class Caffe(nn.Module):
    """The published VGGFace2 ResNet-50, written from its description: a halving block strides in its first
    convolution, the stem's pooling rounds up, and the input is blue, green, red, from 0 to 255, less the means."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1_7x7_s2, self.conv1_7x7_s2_bn = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        self.blocks = []
        for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=2):
            for block in range(1, blocks + 1):
                stride = 2 if block == 1 and stage > 2 else 1
                name = f"conv{stage}_{block}"
                layers = {
                    "1x1_reduce": nn.Conv2d(inputs, width, 1, stride, bias=False),
                    "3x3": nn.Conv2d(width, width, 3, 1, 1, bias=False),
                    "1x1_increase": nn.Conv2d(width, 4 * width, 1, bias=False),
                }
                if block == 1:
                    layers["1x1_proj"] = nn.Conv2d(inputs, 4 * width, 1, stride, bias=False)
                for kind, layer in layers.items():
                    self.add_module(f"{name}_{kind}", layer)
                    self.add_module(f"{name}_{kind}_bn", nn.BatchNorm2d(layer.out_channels))
                inputs = 4 * width
                self.blocks.append(name)
        self.classifier = nn.Conv2d(2048, 10, 1)

    def _both(self, name: str, x: Tensor) -> Tensor:
        return getattr(self, f"{name}_bn")(getattr(self, name)(x))

    def forward(self, images: Tensor) -> Tensor:
        x = 255 * images.flip(1) - torch.tensor([91.4953, 103.8827, 131.0912])[:, None, None]
        x = F.max_pool2d(F.relu(self._both("conv1_7x7_s2", x)), 3, 2, ceil_mode=True)
        for name in self.blocks:
            kept = self._both(f"{name}_1x1_proj", x) if hasattr(self, f"{name}_1x1_proj") else x
            inner = F.relu(self._both(f"{name}_3x3", F.relu(self._both(f"{name}_1x1_reduce", x))))
            x = F.relu(self._both(f"{name}_1x1_increase", inner) + kept)
        return x.mean((2, 3))


def test_the_published_layout_computes_what_the_published_network_does(images: Tensor, tmp_path: Path):
    network = randomised(Caffe())
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    model = fresh().eval()
    pretraining.load_file(model, str(tmp_path / "w.safetensors"))
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(model.features(images), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path):
    state = {f"conv1.{name}": value for name, value in nn.Conv2d(3, 32, 7, bias=False).state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    message = refusal(pretraining.load_file, fresh("resnet18"), str(tmp_path / "w.pth"))
    assert "0.weight has shape (32, 3, 7, 7), and this model's has (64, 3, 7, 7)" in message


def weights(**changes: object) -> dict[str, object]:
    """A state_dict that fits, with some entries replaced."""
    body = drawn("resnet18").body.state_dict()
    names = {"0": "conv1", "1": "bn1"} | {str(n): f"layer{n - 3}" for n in (4, 5, 6, 7)}
    state = {f"{names[n]}.{rest}": value for n, rest, value in ((*name.split(".", 1), body[name]) for name in body)}
    return state | {name.replace("__", "."): value for name, value in changes.items()}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([torch.zeros(2)], "holds no state_dict"),
        (torch.zeros(2), "holds no state_dict"),
        ("weights", "holds no state_dict"),
        (None, "holds no state_dict"),
        ({"state_dict": None}, "holds no state_dict"),
        ({"state_dict": {"conv1": {"weight": torch.zeros(2)}}}, "holds no state_dict"),
        ({"conv1.weight": "zeros"}, "holds no state_dict"),
        ({1: torch.zeros(2)}, "holds no state_dict"),
        ({("conv1",): torch.zeros(2)}, "holds no state_dict"),
        ({}, "lacks 0.weight"),
        ({"conv1_7x7_s2.weight": torch.zeros(())}, "0.weight has shape ()"),
        ({"conv1_7x7_s2.weight": torch.zeros(64, 3, 7, 7), "conva_b_3x3.weight": torch.zeros(2)}, "lacks 1.weight"),
        (partial(weights, bn1__weight=torch.full((64,), torch.nan)), "1.weight must hold finite numbers"),
        (partial(weights, bn1__bias=torch.full((64,), torch.inf)), "1.bias must hold finite numbers"),
        (partial(weights, bn1__bias=torch.ones(64, dtype=torch.int64)), "1.bias must hold finite numbers"),
        (partial(weights, bn1__bias=torch.ones(64, dtype=torch.complex64)), "1.bias must hold finite numbers"),
        (partial(weights, bn1__bias=torch.ones(64).to_sparse()), "1.bias must hold finite numbers"),
        (partial(weights, bn1__bias=torch.ones(64, device="meta")), "1.bias must hold finite numbers"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, content: object, says: str):
    path, content = tmp_path / "w.pth", content() if callable(content) else content
    torch.save(content, path)
    model = fresh("resnet18")
    model = fresh("resnet50") if isinstance(content, dict) and "conv1_7x7_s2.weight" in content else model
    message = refusal(pretraining.load_file, model, str(path))
    assert message.startswith(f"pretraining.file={str(path)!r}: ")
    assert says in message


def test_weights_that_fit_are_taken_whatever_their_counters(tmp_path: Path):
    torch.save(weights(bn1__num_batches_tracked=torch.ones(7), fc__weight=torch.ones(3)), tmp_path / "w.pth")
    model = build("resnet18", 3, 4, 1, seed=5)
    pretraining.load_file(model, str(tmp_path / "w.pth"))
    assert torch.equal(model.body[0].weight, drawn("resnet18").body[0].weight)


def test_what_is_no_file_of_weights_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "empty.safetensors").touch()
    given = {"dataset": "faces", "model": "resnet18", "width": 1}
    for name, says in (("pipe.pth", "is no regular"), ("loop.pth", "no such"), ("folder.safetensors", "is no regular")):
        file = str(tmp_path / name)
        for message in (
            refusal(pretraining.load_file, fresh("resnet18"), file),
            refusal(Config.from_mapping, given | {"pretraining": {"source": "weights", "file": file}}),
        ):
            assert message == f"pretraining.file={file!r}: {says} file"
    assert "cannot be read" in refusal(pretraining.load_file, fresh("resnet18"), str(tmp_path / "empty.safetensors"))


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "w.pth").write_bytes(content)
    assert "cannot be read" in refusal(pretraining.load_file, fresh("resnet18"), str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pretraining": {"source": "otters"}}, "did you mean 'others'"),
        ({"pretraining": {"source": "others"}}, "data.others must say how many"),
        ({"pretraining": {"source": "imagenet"}, "model": "allcnn", "width": 0.5}, "is for resnet18, resnet50"),
        ({"pretraining": {"source": "weights"}}, "pretraining.file: must name a file"),
        ({"pretraining": {"source": "weights", "file": "nowhere.pth"}}, "pretraining.file='nowhere.pth': no such file"),
        ({"pretraining": {"source": "weights", "file": ""}}, "pretraining.file: must name a file"),
        ({"pretraining": {"source": "weights", "file": "a\0b"}}, "without control characters"),
        (
            {"pretraining": {"file": "w.pth"}},
            "pretraining.file='w.pth': is read only where pretraining.source='weights'",
        ),
        ({"width": 0.5}, "width=0.5: resnet18 has one width"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given: dict, message: str):
    assert message in refusal(Config.from_mapping, {"dataset": "faces", "model": "resnet18", "width": 1} | given)

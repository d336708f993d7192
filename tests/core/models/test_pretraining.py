"""Pretrained weights: each layout computes what the network computed that it came from."""

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
        ({"width": 0.5}, "width=0.5: resnet18 has one width"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given: dict, message: str):
    assert message in refusal(Config.from_mapping, {"dataset": "faces", "model": "resnet18", "width": 1} | given)

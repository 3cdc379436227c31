"""Models as users write them, in plain PyTorch: each can become a spiking network."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 3)
        self.fc1, self.fc2 = nn.Linear(64, 20), nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.relu(self.conv2(x)), 2, stride=2)
        x = torch.flatten(x, 1)
        x = F.dropout(F.relu(self.fc1(x)), training=self.training)
        return self.fc2(x)


class PoolThenRelu(nn.Module):
    """As in PyTorch's own tutorials: relu(max_pool2d(conv(x), 2)), and two pools in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.drop = nn.Dropout2d()
        self.fc = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(F.max_pool2d(self.drop(self.conv2(x)), 2), kernel_size=2, stride=1))
        x = F.avg_pool2d(x, 2, stride=1, padding=1)
        return self.fc(F.adaptive_avg_pool2d(x, (2, 2)).view(-1, 32))


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def block(c_in: int, c_out: int) -> nn.Sequential:
            layers = [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out)]
            return nn.Sequential(nn.Sequential(*layers), nn.ReLU(inplace=True))

        self.features = nn.Sequential(block(3, 4), nn.MaxPool2d(2), block(4, 6), nn.Identity())
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(x))
        return self.classifier(x.view(x.size(0), -1))


class BasicBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet18(nn.Module):
    """The names and the order of torchvision's, 4 channels wide at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        sizes = [(4, 4, 1), (4, 8, 2), (8, 12, 2), (12, 16, 2)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(BasicBlock(c_in, c_out, stride), BasicBlock(c_out, c_out))
            for c_in, c_out, stride in sizes
        )
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Vgg(nn.Module):
    """The order of torchvision's, with two stages."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for size in (4, 4, "M", 8, 8, "M"):
            if size == "M":
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
                continue
            layers += [nn.Conv2d(channels, size, kernel_size=3, padding=1)]
            layers += [nn.BatchNorm2d(size), nn.ReLU(inplace=True)]
            channels = size
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            *(nn.Linear(32, 16), nn.ReLU(True), nn.Dropout()),
            *(nn.Linear(16, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 5)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class Shared(nn.Module):
    """The same synapses, norm and activation at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.same = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(4), nn.ReLU()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = self.act(self.norm(self.same(x)))
        x = self.act(self.same(x))
        return self.fc(x.mean((2, 3)))


class PreActivation(nn.Module):
    """Norm and activation before the synapses, as in the second paper on residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.bn1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)
        self.bn2, self.conv2 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)
        self.bn3, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.conv1(F.relu(self.bn1(x)))
        x = x + self.conv2(F.relu(self.bn2(y)))
        x = F.relu(self.bn3(x), inplace=True)
        return self.fc(x.mean(dim=[-2, -1]))


class Branches(nn.Module):
    """Ways that meet, grouped and dilated synapses, sums of all kinds, clipped activations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.wide = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
        self.deep = nn.Conv2d(4, 4, 3, padding="same", groups=4)
        self.six, self.hard = nn.ReLU6(), nn.Hardtanh(0.0, 2.0)
        self.fc = nn.Linear(4 * 8 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.six(self.stem(x))
        x = self.hard(self.wide(x).add(self.deep(x)) + x)
        x = F.relu6(torch.add(self.deep(x), x))
        x = nn.functional.avg_pool2d(x, kernel_size=2)
        return self.fc(x.reshape(x.shape[0], -1).contiguous())


class Linear(nn.Module):
    """Nothing but linear layers on flat data."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Flatten(), nn.Linear(768, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU()),
            *(nn.Linear(12, 12), nn.BatchNorm1d(12, affine=False), nn.ReLU(), nn.Linear(12, 5)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class NormAtTheEnd(nn.Module):
    """A batch-norm of the data, one behind an activation and one of the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, stride=2)
        self.after = nn.BatchNorm2d(4)
        self.fc, self.last = nn.Linear(4 * 49, 5), nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.after(torch.relu(self.conv(self.first(x))))
        return self.last(self.fc(x.flatten(start_dim=1)))


class AverageOfCurrents(nn.Module):
    """Pools before activations, and a head of convolutions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 1)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.conv1(x)).relu_()
        return F.adaptive_avg_pool2d(self.conv2(x), 1).squeeze(-1).squeeze(-1)


MODELS: dict[str, Callable[[], nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *(Functional, PoolThenRelu, Nested, ResNet18, Vgg, Shared, PreActivation, Branches),
        *(Linear, NormAtTheEnd, AverageOfCurrents),
    )
}
SHAPE = (3, 16, 16)


def trained(name: str) -> tuple[nn.Module, Tensor]:
    """A model with running statistics that are not those of the start, and images."""
    torch.manual_seed(0)
    model, images = MODELS[name](), torch.rand(48, *SHAPE)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.2, 0.2)
        for _ in range(20):
            model.train()(images)
    return model.eval(), images

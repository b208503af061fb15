"""ResNet-18 and -50 of any width with the 3x3 stem, modules named as torchvision names them."""
import torch
from torch import nn

STAGES = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def conv(cin, cout, kernel, stride=1):
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """Convolutions with a shortcut around them; subclasses make the convolutions."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(conv(cin, cout, 1, stride), nn.BatchNorm2d(cout))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.branch(x) + shortcut)


class Basic(Block):
    expansion = 1

    def __init__(self, cin, planes, stride):
        super().__init__(cin, planes, stride)
        self.conv1, self.bn1 = conv(cin, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3), nn.BatchNorm2d(planes)

    def branch(self, x):
        return self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))


class Bottleneck(Block):
    expansion = 4

    def __init__(self, cin, planes, stride):
        super().__init__(cin, 4 * planes, stride)
        self.conv1, self.bn1 = conv(cin, planes, 1), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = conv(planes, 4 * planes, 1), nn.BatchNorm2d(4 * planes)

    def branch(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class ResNet(nn.Module):
    """x (B,C,H,W) to logits (B,classes)."""

    def __init__(self, depth, width, classes=10, channels=3):
        super().__init__()
        block = Bottleneck if depth == 50 else Basic
        self.conv1, self.bn1 = conv(channels, width, 3), nn.BatchNorm2d(width)
        cin = width
        for stage, count in enumerate(STAGES[depth]):
            planes, layers = width << stage, []
            for i in range(count):
                layers.append(block(cin, planes, 2 if stage > 0 and i == 0 else 1))
                cin = planes * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(cin, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def load_resnet(depth, width, state):
    """A network with these values, in their element type and on their device."""
    first, last = state["conv1.weight"], state["fc.weight"]
    net = ResNet(depth, width, classes=last.shape[0], channels=first.shape[1]).to(last)
    net.load_state_dict(state)
    return net

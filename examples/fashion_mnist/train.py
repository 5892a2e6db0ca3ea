"""train.py - a trainer in PyTorch that logs with wandb, as it would for W&B.

Nothing in it knows covey.  Parameters come from wandb.config, the accuracy of each epoch
goes to wandb.log(); `covey sweep run examples/fashion_mnist/torch.yaml` sweeps it as it is.
"""
import torch
import wandb
from torch import nn

import fashion

DEFAULTS = {"lr": 0.05, "momentum": 0.9, "width": 128, "depth": 1, "batch": 64, "decay": 0.0,
            "epochs": 9, "images": 12000, "seed": 1}


def load(count):
    images, labels = fashion.read(count)
    x = torch.frombuffer(bytearray(images), dtype=torch.uint8).view(count, fashion.PIXELS)
    y = torch.frombuffer(bytearray(labels), dtype=torch.uint8)
    return (x.float() - 72.9) / 90.0, y.long()


def build(width, depth):
    layers, inputs = [], fashion.PIXELS
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, fashion.CLASSES))


def main():
    wandb.init(project="fashion-mnist", config=DEFAULTS)
    config = wandb.config
    torch.manual_seed(config.seed)
    x, y = load(config.images)
    train = config.images - config.images // 6          # the last sixth measures
    model = build(config.width, config.depth)
    wandb.watch(model)
    rule = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum,
                           weight_decay=config.decay)
    for epoch in range(1, config.epochs + 1):
        for picks in torch.randperm(train).split(config.batch):
            loss = nn.functional.cross_entropy(model(x[picks]), y[picks])
            rule.zero_grad()
            loss.backward()
            rule.step()
        with torch.no_grad():
            right = model(x[train:]).argmax(1) == y[train:]
        wandb.log({"epoch": epoch, "loss": loss.item(), "accuracy": right.float().mean().item()})


if __name__ == "__main__":
    main()

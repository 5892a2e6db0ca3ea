"""train_plain.py - as train.py, with Python's own library alone: no torch, no numpy.

Images are shrunk to 7 x 7, and the network is one layer: enough to see a sweep work
on a machine that has nothing installed.
"""
import math
import random

import wandb

import fashion

DEFAULTS = {"lr": 0.1, "momentum": 0.0, "batch": 16, "decay": 0.0, "epochs": 9, "images": 600, "seed": 1}
SIDE = 7                        # pixels, each the mean of 4 x 4
INPUTS = SIDE * SIDE + 1        # and a constant one


def shrink(image):
    """49 numbers from -1 to 1, and the 1."""
    rows = [image[at:at + 28] for at in range(0, fashion.PIXELS, 28)]
    return [sum(sum(row[4 * c:4 * c + 4]) for row in rows[4 * r:4 * r + 4]) / (16 * 127.5) - 1
            for r in range(SIDE) for c in range(SIDE)] + [1.0]


def scores(weights, x):
    return [sum(a * b for a, b in zip(row, x)) for row in weights]


def softmax(values):
    most = max(values)
    powers = [math.exp(v - most) for v in values]
    total = sum(powers)
    return [p / total for p in powers]


def step(weights, velocity, xs, ys, config):
    """One step of gradient descent with momentum on one batch."""
    gradient = [[0.0] * INPUTS for _ in range(fashion.CLASSES)]
    for x, y in zip(xs, ys):
        for k, p in enumerate(softmax(scores(weights, x))):
            d = (p - (k == y)) / len(xs)
            gradient[k] = [g + d * value for g, value in zip(gradient[k], x)]
    for k in range(fashion.CLASSES):
        velocity[k] = [config.momentum * v + g + config.decay * w
                       for v, g, w in zip(velocity[k], gradient[k], weights[k])]
        weights[k] = [w - config.lr * v for w, v in zip(weights[k], velocity[k])]


def main():
    wandb.init(project="fashion-mnist", config=DEFAULTS)
    config = wandb.config
    shuffled = random.Random(config.seed)
    images, labels = fashion.read(config.images)
    xs = [shrink(images[at:at + fashion.PIXELS]) for at in range(0, len(images), fashion.PIXELS)]
    train = config.images - config.images // 6          # the last sixth measures
    weights = [[0.0] * INPUTS for _ in range(fashion.CLASSES)]
    velocity = [[0.0] * INPUTS for _ in range(fashion.CLASSES)]
    order = list(range(train))
    for epoch in range(1, config.epochs + 1):
        shuffled.shuffle(order)
        for at in range(0, train, config.batch):
            picks = order[at:at + config.batch]
            step(weights, velocity, [xs[i] for i in picks], [labels[i] for i in picks], config)
        right = 0
        for x, label in zip(xs[train:], labels[train:]):
            of = scores(weights, x)
            right += of.index(max(of)) == label
        wandb.log({"epoch": epoch, "accuracy": right / (config.images - train)})


if __name__ == "__main__":
    main()

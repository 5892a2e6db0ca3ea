"""fashion - the Fashion-MNIST images for the two trainers in Python.

They are gzip files of the IDX format: big-endian counts, then bytes.
"""
import gzip
import os
import struct

FILES = os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist")
PIXELS = 28 * 28
CLASSES = 10


def read(count, part="train"):
    """The first @count images, each of PIXELS bytes, one behind the other; and their labels."""
    with gzip.open("%s/%s-images-idx3-ubyte.gz" % (FILES, part)) as f:
        magic, there, rows, columns = struct.unpack(">IIII", f.read(16))
        images = f.read(count * PIXELS)
    with gzip.open("%s/%s-labels-idx1-ubyte.gz" % (FILES, part)) as f:
        magic_of_labels, there_of_labels = struct.unpack(">II", f.read(8))
        labels = f.read(count)
    if (magic, rows, columns, magic_of_labels) != (0x803, 28, 28, 0x801):
        raise ValueError("%s has no 28 x 28 images and their labels" % FILES)
    if len(images) < count * PIXELS or len(labels) < count:
        raise ValueError("%s has fewer than %d images" % (FILES, count))
    return images, labels

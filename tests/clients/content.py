"""The files that are served, and what is expected of them."""

import os
import random

_random = random.Random(20)

INDEX = b"<!doctype html><title>index</title>\n"
SUB_INDEX = b"<!doctype html><title>sub</title>\n"
TEXT = bytes(_random.choices(b"abcdefghijklmnopqrstuvwxyz \n", k=65_536))
LARGE = _random.randbytes(12 << 20)

FILES = {
    "index.html": INDEX,
    "sub/index.html": SUB_INDEX,
    "64k.txt": TEXT,
    "empty.txt": b"",
    "large.bin": LARGE,
    "with space \u00e9.css": b"a { color: red }\n",
}


def write(root):
    for name, content in FILES.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

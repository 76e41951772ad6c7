"""Softmax regression on Iris, written as an Azure ML entry script: `init()` once, then `run(data)` per request."""

import json
import math
import os
import pathlib
import time


def init():
    global model, work_seconds
    model = json.loads((pathlib.Path(__file__).parent / "model.json").read_text())
    # Iris itself takes microseconds; a service time makes queues and scaling visible.
    work_seconds = float(os.environ.get("WORK_MS", "0")) / 1000


def run(data):
    time.sleep(work_seconds)
    flowers = json.loads(data)["data"]
    return {"model": "softmax", "species": [classify(flower) for flower in flowers], "process": os.getpid()}


def classify(flower):
    x = [(v - c) / s for v, c, s in zip(flower, model["centre"], model["scale"])] + [1.0]
    scores = [math.fsum(w * v for w, v in zip(row, x)) for row in model["weights"]]
    return model["species"][scores.index(max(scores))]

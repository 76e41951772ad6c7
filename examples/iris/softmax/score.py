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
    try:
        species = [classify(flower) for flower in json.loads(data)["data"]]
    except (ValueError, KeyError, TypeError) as error:
        return BadRequest(f'send {{"data": [[four lengths in cm], ...]}}: {error!r}')
    time.sleep(work_seconds)
    return {"model": "softmax", "species": species, "process": os.getpid()}


class BadRequest:
    """An answer with a status of its own, as AMLResponse has one."""

    status_code = 400
    headers = {"Content-Type": "application/json"}

    def __init__(self, error):
        self.body = json.dumps({"error": error})


def classify(flower):
    x = [(v - c) / s for v, c, s in zip(flower, model["centre"], model["scale"])] + [1.0]
    scores = [math.fsum(w * v for w, v in zip(row, x)) for row in model["weights"]]
    return model["species"][scores.index(max(scores))]

"""Trains the two classifiers of the quickstart on iris.csv and writes their weights beside their entry scripts.

Standard library only: `python3 train.py`. It is deterministic; the committed weights are its output.
"""

import csv
import json
import math
import pathlib

HERE = pathlib.Path(__file__).parent
SPECIES = ["setosa", "versicolor", "virginica"]


def read():
    """The 150 flowers: four lengths in centimetres, and the index of the species."""
    with open(HERE / "iris.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [([float(x) for x in row[:4]], SPECIES.index(row[4])) for row in rows]


def mean(values):
    return sum(values) / len(values)


def variance(values):
    middle = mean(values)
    return mean([(value - middle) ** 2 for value in values])


def softmax_regression(flowers, steps=2000, rate=0.5, decay=1e-3):
    """Multinomial logistic regression on standardised lengths, by plain gradient descent."""
    columns = list(zip(*(x for x, _ in flowers)))
    centre = [mean(column) for column in columns]
    scale = [math.sqrt(variance(column)) for column in columns]
    data = [([(v - c) / s for v, c, s in zip(x, centre, scale)] + [1.0], y) for x, y in flowers]
    weights = [[0.0] * 5 for _ in SPECIES]
    for _ in range(steps):
        gradient = [[decay * w for w in row] for row in weights]
        for x, y in data:
            scores = [sum(w * v for w, v in zip(row, x)) for row in weights]
            top = max(scores)
            powers = [math.exp(score - top) for score in scores]
            for k, power in enumerate(powers):
                error = power / sum(powers) - (k == y)
                for j, v in enumerate(x):
                    gradient[k][j] += error * v / len(data)
        weights = [[w - rate * g for w, g in zip(*rows)] for rows in zip(weights, gradient)]
    return {"centre": rounded(centre), "scale": rounded(scale), "weights": [rounded(row) for row in weights]}


def naive_bayes(flowers):
    """A normal distribution per species and length, taken as independent."""
    groups = [list(zip(*(x for x, y in flowers if y == k))) for k in range(len(SPECIES))]
    return {
        "mean": [rounded(mean(column) for column in group) for group in groups],
        "variance": [rounded(variance(column) for column in group) for group in groups],
    }


def rounded(values):
    return [round(value, 6) for value in values]


if __name__ == "__main__":
    flowers = read()
    for folder, weights in [("softmax", softmax_regression(flowers)), ("bayes", naive_bayes(flowers))]:
        path = HERE / folder / "model.json"
        path.write_text(json.dumps({"species": SPECIES, **weights}) + "\n")
        print(f"{path.relative_to(HERE)}: trained on {len(flowers)} flowers")

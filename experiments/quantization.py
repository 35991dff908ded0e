"""What 8-bit integers cost a network with channel attention.

A small residual network learns scikit-learn's digits: without attention, with
Squeeze-and-Excitation (SE), with SE whose gate is a hard sigmoid, and with
Efficient Channel Attention (ECA). `expand_attention` writes the attention with
layers of Keras; then the network is quantized after training, by LiteRT
(integers throughout) and for onnxruntime (static, QDQ). The study measures for
each file

1. the accuracy on the test images, beside that of the trained network;
2. its size, and the time of a call with one image on one thread, beside those
   of the file in float32.

    python -m experiments.quantization
    python -m experiments.quantization --seeds 10

It needs TensorFlow (set the environment variable KERAS_BACKEND to tensorflow),
tf2onnx, onnx, onnxruntime and ai-edge-litert: the tox environment `export` has
them. Stopped at any moment, the same command goes on with the first run that
is missing.
"""

import tempfile
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from experiments.ablation import train
from experiments.data import CLASSES, load_data
from experiments.exported import (
    RUNTIMES,
    export,
    milliseconds,
    predictions,
)
from experiments.networks import classifier
from experiments.pictures import draw_changes, figure_for
from experiments.runs import duration, fraction
from experiments.statistics import (
    Measure,
    compare,
    markdown,
    mean_and_deviation,
    verdicts,
)
from experiments.study import Study, carry_out, parser_for
from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    expand_attention,
    insert_attention,
)

# A new layer for each residual branch. The network is narrow: SE reduces by 8,
# not by 16.
ROWS = {
    "no attention": lambda site: None,
    "SE": lambda site: SqueezeExcite(reduction=8),
    "SE, hard sigmoid": lambda site: SqueezeExcite(
        reduction=8, gate_activation="hard_sigmoid"
    ),
    "ECA": lambda site: EfficientChannelAttention(),
}


@dataclass(frozen=True)
class Plan:
    """What all runs of one results file have in common."""

    dataset: str = "digits"
    widths: tuple = (32, 32, 64, 64)  # of the residual blocks
    batch_size: int = 32
    epochs: int = 5
    learning_rate: float = 3e-3
    calibration_images: int = 100  # of the training images


"""
## One run
"""


def run(plan, row, seed):
    images, _, test_images, test_labels = load_data(plan.dataset)
    model = network(plan, row, seed)
    train(model, plan, seed)
    outputs = model.predict(test_images, batch_size=1000, verbose=0)
    results = {
        "parameters": model.count_params(),
        "accuracy": accuracy(outputs, test_labels),
    }
    deployed = model if row == "no attention" else expand_attention(model)
    for runtime in RUNTIMES:
        with tempfile.TemporaryDirectory() as folder:
            file = export(deployed, runtime, folder)
            results |= costs(f"{runtime} float32", file, test_images[0])
            file = export(
                deployed, runtime, folder, images[: plan.calibration_images]
            )
            results |= costs(f"{runtime} int8", file, test_images[0])
            results[f"{runtime} int8 accuracy"] = accuracy(
                predictions(file, test_images), test_labels
            )
    return results


def network(plan, row, seed):
    keras.utils.set_random_seed(seed)
    shape = load_data(plan.dataset)[0].shape[1:]
    plain = classifier(shape, plan.widths, CLASSES)
    return insert_attention(plain, ROWS[row])


def accuracy(outputs, labels):
    return round(np.mean(outputs.argmax(-1) == labels), 6)


def costs(name, file, image):
    return {
        f"{name} bytes": file.stat().st_size,
        f"{name} milliseconds": round(milliseconds(file, image), 5),
    }


PRECISIONS = ("float32", "int8")
READERS = {"parameters": int, "accuracy": fraction}
for _runtime in RUNTIMES:
    READERS[f"{_runtime} int8 accuracy"] = fraction
    for _precision in PRECISIONS:
        READERS[f"{_runtime} {_precision} bytes"] = int
        READERS[f"{_runtime} {_precision} milliseconds"] = duration

"""
## The tables and the picture
"""


def percents(plan, runs, row):
    """Accuracies of a row: a line per seed, a column per file."""
    count = len(load_data(plan.dataset)[2])
    columns = {"float32": "accuracy"} | {
        f"{runtime} int8": f"{runtime} int8 accuracy" for runtime in RUNTIMES
    }
    return pd.DataFrame(
        {
            name: Measure(column, name, count).percent(runs)[row]
            for name, column in columns.items()
        }
    )


def comparisons(plan, runs):
    """Each quantized file against the network that it was made of."""
    measure = Measure("", "accuracy", len(load_data(plan.dataset)[2]))
    return [
        compare(
            percents(plan, runs, row).add_prefix(f"{row}, "),
            measure,
            f"{row}, {runtime} int8",
            f"{row}, float32",
        )
        for row in rows_of(runs)
        for runtime in RUNTIMES
        if runs["seed"][runs["row"] == row].nunique() > 1
    ]


def rows_of(runs):
    return [row for row in ROWS if row in set(runs["row"])]


def table(plan, runs):
    compared = comparisons(plan, runs)
    texts = {comparison.row: comparison.text for comparison in compared}
    accuracies, files = [], []
    for row in rows_of(runs):
        percent = percents(plan, runs, row)
        lines = runs[runs["row"] == row]
        accuracies.append(
            {
                "row": row,
                "seeds": str(len(lines)),
                "parameters": f"{lines['parameters'].iloc[0]:,}",
                "accuracy": mean_and_deviation(percent["float32"]),
            }
            | {
                f"{runtime} int8, against float32": texts.get(
                    f"{row}, {runtime} int8", ""
                )
                for runtime in RUNTIMES
            }
        )
        files.append({"row": row} | file_costs(lines))
    return "\n\n".join(
        [
            markdown(pd.DataFrame(accuracies)),
            markdown(pd.DataFrame(files)),
            verdicts(compared),
        ]
    )


def file_costs(lines):
    """Sizes, which all seeds share, and the medians of the times."""
    cells = {}
    for runtime in RUNTIMES:
        sizes, times = (
            [
                lines[f"{runtime} {precision} {unit}"].median()
                for precision in PRECISIONS
            ]
            for unit in ("bytes", "milliseconds")
        )
        cells[f"{runtime}, kB"] = " → ".join(f"{x / 1000:.0f}" for x in sizes)
        cells[f"{runtime}, ms"] = " → ".join(f"{x:.3f}" for x in times)
    return cells


def picture(plan, runs):
    """How the accuracy changes, one axis for each runtime."""
    rows = rows_of(runs)
    figure, axes = figure_for(rows, len(RUNTIMES), sharey=True, sharex=True)
    draw_changes(
        figure,
        axes,
        rows,
        [(f"{name}, int8", f"{name} int8", "float32") for name in RUNTIMES],
        lambda row: percents(plan, runs, row),
        "test accuracy, points against float32",
    )
    return figure


STUDY = Study("quantization", tuple(ROWS), READERS, run, table, picture)


def main():
    parser = parser_for(STUDY, __doc__)
    arguments = parser.parse_args()
    if keras.config.backend() != "tensorflow":
        parser.error("the files are written by TensorFlow: set KERAS_BACKEND")
    carry_out(STUDY, Plan(), parser, arguments)


if __name__ == "__main__":
    main()

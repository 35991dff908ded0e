"""Time a training step and a prediction of whole networks.

    python -m benchmarks.networks --backend torch

The networks are ResNet-50 without attention, with SE, and with ECA at the end
of each residual branch, and the ResNet50 of `keras.applications`. On torch they
also include our networks with `channels_first` and the timm networks with the
same names. All are timed in turn in one process. The script prints milliseconds
and ratios between two networks of the same run. `benchmarks.prediction`
compares other ways to predict.
"""

import argparse

from benchmarks.layers import THREADS, median, prepare, versions
from benchmarks.timing import report_progress, time_in_turn

TIMM = ("resnet50", "seresnet50", "ecaresnet50d")
# Pairs of networks: the ratio is the time of the first over that of the second.
RATIOS = (
    ("seresnet50", "resnet50"),
    ("ecaresnet50", "resnet50"),
    ("resnet50", "Keras' ResNet50"),
    ("seresnet50", "Keras' ResNet50"),
    ("ecaresnet50", "Keras' ResNet50"),
    ("timm seresnet50", "timm resnet50"),
    *(
        (f"{name}{data_format}", f"timm {name}")
        for name in TIMM
        for data_format in ("", ", channels_first")
    ),
)


def networks(backend, size):
    """Dictionary from a name to a function that builds that network."""
    import keras

    from keras_channel_attn import models

    def build_ours(name, data_format="channels_last"):
        shape = (size, size, 3)
        if data_format == "channels_first":
            shape = (3, size, size)
        arguments = {
            "input_shape": shape,
            "classifier_activation": None,
            "data_format": data_format,
        }
        if name == "ecaresnet50":
            return models.ECAResNet50(**arguments)
        return models.from_timm(name, **arguments)

    def build_keras_resnet():
        return keras.applications.ResNet50(
            weights=None,
            input_shape=(size, size, 3),
            classifier_activation=None,
        )

    names = ("resnet50", "seresnet50", "ecaresnet50")
    builders = {"Keras' ResNet50": build_keras_resnet}
    for name in names:
        builders[name] = lambda name=name: build_ours(name)
    if backend == "torch":
        builders["ecaresnet50d"] = lambda: build_ours("ecaresnet50d")
        for name in TIMM:
            builders[f"{name}, channels_first"] = lambda name=name: build_ours(
                name, "channels_first"
            )
    return builders


def keras_calls(model, batch):
    """Functions that run a training step and a prediction of a Keras model."""
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, *model.input_shape[1:])).astype("float32")
    y = rng.integers(0, 1000, size=batch)
    model.compile(
        keras.optimizers.SGD(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return {
        "training": lambda: model.train_on_batch(x, y),
        "prediction": lambda: model.predict_on_batch(x),
    }


def timm_calls(name, batch, size):
    """Functions that run the same of a timm model, as torch users write it."""
    import timm
    import torch

    x = torch.randn(batch, 3, size, size)
    y = torch.randint(0, 1000, (batch,))
    model = timm.create_model(name)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)

    def train():
        model.train()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    def predict():
        model.eval()
        with torch.no_grad():
            return model(x).numpy()

    return {"training": train, "prediction": predict}


def contestants(arguments):
    """Dictionary from (network, step) to a function that runs the step."""
    calls = {}
    for name, build in networks(arguments.backend, arguments.size).items():
        report_progress(f"building {name}")
        for step, call in keras_calls(build(), arguments.batch).items():
            calls[name, step] = call
    if arguments.backend == "torch":
        for name in TIMM:
            report_progress(f"building timm {name}")
            timm_steps = timm_calls(name, arguments.batch, arguments.size)
            for step, call in timm_steps.items():
                calls[f"timm {name}", step] = call
    return calls


def table(medians):
    """Lines of milliseconds, then lines of ratios."""
    names = list(dict.fromkeys(name for name, _ in medians))
    yield "| network | training step, ms | prediction, ms |\n|---|---|---|"
    for name in names:
        times = (medians[name, step] for step in ("training", "prediction"))
        train, predict = (f"{1e3 * value:.0f}" for value in times)
        yield f"| {name} | {train} | {predict} |"
    yield "\n| ratio | training step | prediction |\n|---|---|---|"
    for name, other in RATIOS:
        if name in names and other in names:
            train, predict = (
                f"{medians[name, step] / medians[other, step]:.2f}"
                for step in ("training", "prediction")
            )
            yield f"| {name} / {other} | {train} | {predict} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend", choices=("tensorflow", "torch", "jax"), required=True
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=160)
    arguments = parser.parse_args()
    prepare(arguments.backend)
    calls = contestants(arguments)
    report_progress("timing")
    times = time_in_turn(calls, arguments.rounds, seconds=0)
    print(
        f"{arguments.backend}, batch {arguments.batch}, "
        f"{arguments.size}x{arguments.size}, {THREADS} threads, "
        f"{versions(arguments.backend)}\n"
    )
    medians = {name: median(values) for name, values in times.items()}
    print("\n".join(table(medians)))


if __name__ == "__main__":
    main()

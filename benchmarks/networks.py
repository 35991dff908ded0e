"""Whole networks: the time of a training step and of a prediction.

    python -m benchmarks.networks --backend torch

ResNet-50 without attention, with SE and with ECA at the end of each residual
branch, and Keras' own ResNet50; on torch also in the other data format, and
timm's networks of the same names and weights. Timed in turn in one process.
Prints milliseconds, and ratios to another network of the same run.
"""

import argparse

from benchmarks.layers import THREADS, median, prepare, versions
from benchmarks.timing import tell, time_in_turn

TIMM = ("resnet50", "seresnet50", "ecaresnet50d")
# Which networks are compared: the second is what the first is measured by.
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

    def ours(name, data_format="channels_last"):
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

    def keras_own():
        return keras.applications.ResNet50(
            weights=None,
            input_shape=(size, size, 3),
            classifier_activation=None,
        )

    names = ("resnet50", "seresnet50", "ecaresnet50")
    found = {"Keras' ResNet50": keras_own}
    for name in names:
        found[name] = lambda name=name: ours(name)
    if backend == "torch":
        found["ecaresnet50d"] = lambda: ours("ecaresnet50d")
        for name in TIMM:
            found[f"{name}, channels_first"] = lambda name=name: ours(
                name, "channels_first"
            )
    return found


def keras_calls(model, batch):
    """A training step and a prediction."""
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
    """The same, as torch's own users write it."""
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


def contestants(chosen):
    """Dictionary from (name, what is done) to a function that does it."""
    calls = {}
    for name, build in networks(chosen.backend, chosen.size).items():
        tell(f"building {name}")
        for what, call in keras_calls(build(), chosen.batch).items():
            calls[name, what] = call
    if chosen.backend == "torch":
        for name in TIMM:
            tell(f"building timm {name}")
            made = timm_calls(name, chosen.batch, chosen.size)
            for what, call in made.items():
                calls[f"timm {name}", what] = call
    return calls


def table(medians):
    """Lines of milliseconds, then lines of ratios."""
    names = list(dict.fromkeys(name for name, _ in medians))
    yield "| network | training step, ms | prediction, ms |\n|---|---|---|"
    for name in names:
        times = (medians[name, what] for what in ("training", "prediction"))
        train, predict = (f"{1e3 * value:.0f}" for value in times)
        yield f"| {name} | {train} | {predict} |"
    yield "\n| ratio | training step | prediction |\n|---|---|---|"
    for name, other in RATIOS:
        if name in names and other in names:
            train, predict = (
                f"{medians[name, what] / medians[other, what]:.2f}"
                for what in ("training", "prediction")
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
    chosen = parser.parse_args()
    prepare(chosen.backend)
    calls = contestants(chosen)
    tell("timing")
    times = time_in_turn(calls, chosen.rounds, seconds=0)
    print(
        f"{chosen.backend}, batch {chosen.batch}, "
        f"{chosen.size}x{chosen.size}, {THREADS} threads, "
        f"{versions(chosen.backend)}\n"
    )
    medians = {name: median(values) for name, values in times.items()}
    print("\n".join(table(medians)))


if __name__ == "__main__":
    main()

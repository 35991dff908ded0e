"""
Title: Fine-tuning on an image folder
Date created: 2026/11/25
Description: An SE-ResNet learns the classes of images in a folder of your own.

The folder has a folder of images for each class; their names become the names
of the classes. A fifth of the images is held out for validation. The saved
model takes images with values from 0 to 255: it includes the preprocessing.

    pip install ".[examples,pretrained,jax]" grain
    KERAS_BACKEND=jax python examples/fine_tune_image_folder.py photographs \\
        --model seresnet50 --weights pretrained --image-size 224

`--weights pretrained` downloads timm's checkpoint from the Hugging Face Hub;
a file (.safetensors, .pth, .weights.h5) is read without a network connection.

Without a folder the script makes one from the digits of scikit-learn, and
trains a small network from random weights: a check in under a minute.

    KERAS_BACKEND=jax python examples/fine_tune_image_folder.py

Set the environment variable `KERAS_BACKEND` to `tensorflow`, `torch` or `jax`,
whichever is installed.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from keras_channel_attn import models

parser = argparse.ArgumentParser(description="Fine-tune on an image folder.")
add = parser.add_argument
add("folder", nargs="?", type=Path, help="with a folder of images per class")
add("--model", default="seresnet18", metavar="NAME", help="network of timm")
add("--weights", metavar="W", help="pretrained, or a checkpoint file")
add("--image-size", type=int, default=32, metavar="PIXELS")
add("--epochs", type=int, default=5, metavar="N")
add("--learning-rate", type=float, default=1e-3, metavar="RATE")
add("--output", type=Path, default="outputs/image_folder", metavar="DIR")
arguments = parser.parse_args()
if arguments.image_size < 32 or arguments.epochs < 1:
    parser.error("--image-size must be at least 32, and --epochs at least 1")
arguments.output.mkdir(parents=True, exist_ok=True)
keras.utils.set_random_seed(0)

"""
## The images

`image_dataset_from_directory` returns a `tf.data.Dataset` by default. With
`format="grain"` it needs the package grain instead of TensorFlow, and its
batches go to every backend.
"""

folder = arguments.folder
if folder is None:
    folder = arguments.output / "digits"
    digits = load_digits()
    for number, (image, label) in enumerate(
        zip(digits.images[:500], digits.target[:500], strict=True)
    ):
        path = folder / f"digit {label}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).astype("uint8")).save(path)
    print(f"Written: {folder}")

size = (arguments.image_size, arguments.image_size)
try:
    training, validation = keras.utils.image_dataset_from_directory(
        folder,
        image_size=size,
        crop_to_aspect_ratio=True,
        batch_size=25,
        validation_split=0.2,
        subset="both",
        seed=0,
        format="grain",
    )
except ImportError as error:
    parser.error(f"the package grain is missing: pip install grain ({error})")
except (OSError, ValueError) as error:
    parser.error(f"{folder}: {error}")
names = training.class_names
print(f"Classes: {', '.join(names)}")

"""
## The network

The network without its top gives one feature vector per image. The checkpoint's
own dense layer, for the 1000 classes of ImageNet, is left out, and a new one
takes its place.
"""

try:
    backbone = models.from_timm(
        arguments.model,
        weights=arguments.weights,
        include_top=False,
        pooling="avg",
        input_shape=(*size, 3),
    )
except Exception as error:  # Each kind of file has errors of its own.
    parser.error(f"{arguments.model} with {arguments.weights}: {error}")
model = keras.Sequential(
    [
        keras.Input((*size, 3)),
        models.ImagePreprocessing(arguments.image_size, crop=1),
        backbone,
        keras.layers.Dense(len(names), activation="softmax"),
    ]
)

"""
## Fine-tuning

All layers are trained. For a pretrained network choose a smaller learning rate,
such as `--learning-rate 1e-4`.
"""

model.compile(
    keras.optimizers.Adam(arguments.learning_rate),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
model.fit(training, validation_data=validation, epochs=arguments.epochs)

"""
## The saved model

`load_model` needs no `custom_objects`, only the import of `keras_channel_attn`.
"""

path = arguments.output / "model.keras"
model.save(path)
print(f"Written: {path}")
loaded = keras.saving.load_model(path)
images, labels = next(iter(validation))
probabilities = loaded.predict(images, verbose=0)
np.testing.assert_allclose(
    probabilities, model.predict(images, verbose=0), rtol=1e-4, atol=1e-5
)
print("The loaded model makes the same predictions. Some of them:")
for label, row in list(zip(np.asarray(labels), probabilities, strict=True))[:5]:
    print(f"  {names[int(label)]}: {names[row.argmax()]} with {row.max():.1%}")

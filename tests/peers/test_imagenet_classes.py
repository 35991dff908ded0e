"""The names that the example has for ImageNet's classes are torchvision's."""

from pathlib import Path

from torchvision.models import ResNet50_Weights

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_names_in_the_order_of_the_checkpoints():
    text = (EXAMPLES / "imagenet_classes.txt").read_text(encoding="utf-8")
    expected = ResNet50_Weights.IMAGENET1K_V2.meta["categories"]
    assert text.splitlines() == expected

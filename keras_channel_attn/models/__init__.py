"""Published networks with channel attention, and their checkpoints."""

from keras_channel_attn.models.checkpoints import preprocessing
from keras_channel_attn.models.image_preprocessing import ImagePreprocessing
from keras_channel_attn.models.listing import list_models
from keras_channel_attn.models.named_resnets import (
    ECAResNet18,
    ECAResNet34,
    ECAResNet50,
    ECAResNet101,
    ECAResNet152,
    SENet154,
    SEResNet18,
    SEResNet34,
    SEResNet50,
    SEResNet101,
    SEResNet152,
    SEResNeXt50,
    SEResNeXt101,
)
from keras_channel_attn.models.resnet import ResNet
from keras_channel_attn.models.scaled_convolution import (
    ScaledStandardizedConv2D,
)
from keras_channel_attn.models.se_inception import SEInceptionV3
from keras_channel_attn.models.timm import from_timm
from keras_channel_attn.models.torch_checkpoints import save_torch_checkpoint
from keras_channel_attn.models.torch_weights import load_torch_weights

__all__ = [
    "ECAResNet18",
    "ECAResNet34",
    "ECAResNet50",
    "ECAResNet101",
    "ECAResNet152",
    "ImagePreprocessing",
    "ResNet",
    "SEInceptionV3",
    "SENet154",
    "SEResNeXt50",
    "SEResNeXt101",
    "SEResNet18",
    "SEResNet34",
    "SEResNet50",
    "SEResNet101",
    "SEResNet152",
    "ScaledStandardizedConv2D",
    "from_timm",
    "list_models",
    "load_torch_weights",
    "preprocessing",
    "save_torch_checkpoint",
]


def __dir__() -> list[str]:
    # Without the modules that the imports above leave here.
    return __all__

"""Published networks with channel attention, and their checkpoints."""

from keras_channel_attn.models.checkpoints import (
    preprocessing as preprocessing,
)
from keras_channel_attn.models.image_preprocessing import (
    ImagePreprocessing as ImagePreprocessing,
)
from keras_channel_attn.models.networks import ECAResNet18 as ECAResNet18
from keras_channel_attn.models.networks import ECAResNet34 as ECAResNet34
from keras_channel_attn.models.networks import ECAResNet50 as ECAResNet50
from keras_channel_attn.models.networks import ECAResNet101 as ECAResNet101
from keras_channel_attn.models.networks import ECAResNet152 as ECAResNet152
from keras_channel_attn.models.networks import SEInceptionV3 as SEInceptionV3
from keras_channel_attn.models.networks import SENet154 as SENet154
from keras_channel_attn.models.networks import SEResNet18 as SEResNet18
from keras_channel_attn.models.networks import SEResNet34 as SEResNet34
from keras_channel_attn.models.networks import SEResNet50 as SEResNet50
from keras_channel_attn.models.networks import SEResNet101 as SEResNet101
from keras_channel_attn.models.networks import SEResNet152 as SEResNet152
from keras_channel_attn.models.networks import SEResNeXt50 as SEResNeXt50
from keras_channel_attn.models.networks import SEResNeXt101 as SEResNeXt101
from keras_channel_attn.models.resnet import ResNet as ResNet
from keras_channel_attn.models.timm import from_timm as from_timm
from keras_channel_attn.models.torch_weights import (
    load_torch_weights as load_torch_weights,
)

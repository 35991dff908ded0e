"""The backend on which attention scores cannot be computed."""

import numpy as np
import pytest
from support import networks

from keras_channel_attn import attention_scores, insert_attention
from keras_channel_attn.layers import SqueezeExcite

pytestmark = pytest.mark.backend("openvino")


def test_is_refused():
    model = insert_attention(networks.residual(), SqueezeExcite(reduction=2))
    with pytest.raises(ValueError, match="Use another backend"):
        attention_scores(model, np.ones((2, 6, 6, 8), "float32"))

"""The examples are no part of the wheel: they are found in the repository."""

import sys
from pathlib import Path

# Last, so that an installed `keras_channel_attn` is the one that is tested.
sys.path.append(str(Path(__file__).parents[2]))

"""The module that quantizes is one of the studies, which are no part of the
wheel: it is found in the repository."""

import sys
from pathlib import Path

# Last, so that an installed `keras_channel_attn` is the one that is tested.
sys.path.append(str(Path(__file__).parents[2]))

"""Studies of channel attention: several rows, several seeds, one results file.

    pip install "keras-channel-attn[experiments]"
    python -m experiments.ablation --quick

Run them from the root of the repository. A study is one module with

- a plan: a frozen dataclass of all settings that decide a result, `dataset`
  and `epochs` among them;
- `run(plan, row, seed)`: one run, returned as a dictionary of results;
- `table(plan, runs)`: text, and `picture(plan, runs)`: a Matplotlib figure, of
  the finished runs as a pandas data frame;
- a `main` that puts these together as a `Study` (`study.py`).

The study gets its command line, the resumable results file (`runs.py`), the
comparison of rows (`statistics.py`), the images (`data.py`, `pixels.py`), the
networks (`networks.py`), their training (`training.py`) and the drawing of rows
(`pictures.py`) from the other modules.
"""

import os
from importlib.util import find_spec

# Without KERAS_BACKEND Keras imports TensorFlow, even if it is not installed.
if not find_spec("tensorflow"):
    os.environ.setdefault("KERAS_BACKEND", "jax")

"""The package as a whole: what it exports, imports and ships."""

import ast
import dataclasses
import importlib.metadata
import inspect
import pathlib
import subprocess
import sys
import tomllib

import keras
import pytest
from support.docstrings import check_docstring

import keras_channel_attn

FOLDER = pathlib.Path(keras_channel_attn.__file__).parent
MODULES = sorted(FOLDER.rglob("*.py"))

# Frozen: see the promise in CONTRIBUTING.md.
FUNCTIONS = {
    "attention_blocks": "(model)",
    "attention_layers": "(model)",
    "attention_report": (
        "(model, x, y=None, metric=None, layers=None, batch_size=None, "
        "steps=None, verbose='auto')"
    ),
    "attention_scores": (
        "(model, x, layers=None, batch_size=None, steps=None, "
        "verbose='auto', return_labels=False)"
    ),
    "attention_sites": "(model, where='residual')",
    "expand_attention": "(model, ignore_masks=False)",
    "freeze_attention": (
        "(model, x, layers=None, tolerance=None, batch_size=None, "
        "steps=None, verbose='auto')"
    ),
    "fuse_attention": "(model, layers=None)",
    "insert_attention": "(model, attention, where='residual', mask=None)",
    "mask_after_convolution": (
        "(mask, kernel_size, strides=1, padding='valid', dilation_rate=1)"
    ),
    "model_costs": "(model, input_shape=None)",
    "plot_attention_scores": (
        "(scores, labels=None, class_names=None, to_file=None)"
    ),
    "remove_attention": "(model, layers=None)",
    "replace_attention": "(model, attention)",
    "with_dtype_policy": "(model, policy)",
}
# What functions return, and its fields.
RESULTS = {
    "AttentionBlock": "path kind layer reason",
    "AttentionBlocks": "name blocks",
    "AttentionReport": (
        "name samples metric_name metric change_if_constant "
        "change_if_removed metric_if_constant metric_if_removed time_share "
        "layers"
    ),
    "LayerCosts": (
        "path kind output_shape parameters macs is_attention "
        "attention_parameters attention_macs reason"
    ),
    "LayerReport": (
        "path kind channels spread_over_samples spread_over_channels "
        "constant_channels closed_channels open_channels change_if_constant "
        "change_if_removed metric_if_constant metric_if_removed parameters "
        "macs time_share verdict reason"
    ),
    "ModelCosts": (
        "name input_shapes parameters trainable_parameters macs "
        "attention_parameters attention_macs layers"
    ),
}
BOTTLENECK = (
    "reduction={}, bottleneck_units=None, divisor={}, activation='{}', "
    "use_bias={}, {}gate_activation='sigmoid', identity_start=False, "
    "data_format=None, kernel_initializer='glorot_uniform', "
    "bias_initializer='zeros', kernel_regularizer=None, "
    "bias_regularizer=None, kernel_constraint=None, bias_constraint=None, "
    "learning_rate_multiplier='auto', **kwargs"
)
LAYERS = {
    "ChannelAttention": (
        "gate_activation='sigmoid', pooling='avg', identity_start=False, "
        "data_format=None, learning_rate_multiplier='auto', **kwargs"
    ),
    "ConcurrentSqueezeExcite": BOTTLENECK.format(
        16, 1, "relu", False, "combination='sum', "
    ),
    "ConvolutionalBlockAttention": BOTTLENECK.format(
        16, 1, "relu", False, "kernel_size=7, batch_normalization=False, "
    ),
    "CoordinateAttention": BOTTLENECK.format(
        32, 8, "hard_swish", False, "batch_normalization=True, "
    ),
    "EfficientChannelAttention": (
        "kernel_size=None, gamma=2, b=1, padding='zeros', "
        "gate_activation='sigmoid', pooling='avg', identity_start=False, "
        "data_format=None, kernel_initializer='lecun_uniform', "
        "kernel_regularizer=None, kernel_constraint=None, shared_kernel=True, "
        "learning_rate_multiplier='auto', **kwargs"
    ),
    "GlobalContext": BOTTLENECK.format(16, 1, "relu", True, "fuse='add', "),
    "LinearSqueezeExcite": (
        "groups=1, use_bias=False, gate_activation='sigmoid', pooling='avg', "
        "identity_start=False, data_format=None, "
        "kernel_initializer='lecun_uniform', bias_initializer='zeros', "
        "kernel_regularizer=None, bias_regularizer=None, "
        "kernel_constraint=None, bias_constraint=None, "
        "learning_rate_multiplier='auto', **kwargs"
    ),
    "SqueezeExcite": (
        "reduction=16, bottleneck_units=None, divisor=1, activation='relu', "
        "use_bias=False, gate_activation='sigmoid', pooling='avg', "
        "identity_start=False, data_format=None, "
        "kernel_initializer='glorot_uniform', bias_initializer='zeros', "
        "kernel_regularizer=None, bias_regularizer=None, "
        "kernel_constraint=None, bias_constraint=None, "
        "learning_rate_multiplier='auto', **kwargs"
    ),
    "SqueezeGate": (
        "gate_activation='sigmoid', pooling='avg', identity_start=False, "
        "data_format=None, **kwargs"
    ),
}

THIN = (
    "(include_top=True, weights=None, input_tensor=None, input_shape=None, "
    "pooling=None, classes=1000, classifier_activation='softmax', "
    "name='{}', data_format=None, dtype=None, {})"
)
MODELS = {
    "ECAResNet50": THIN.format("ecaresnet50", "*, kernel_sizes=None"),
    "ImagePreprocessing": (
        "(size=224, crop=0.875, interpolation='bicubic', "
        "mean=(0.485, 0.456, 0.406), "
        "standard_deviation=(0.229, 0.224, 0.225), data_format=None, **kwargs)"
    ),
    "ResNet": (
        "(depths, attention=None, block='bottleneck', stem='plain', "
        "stem_width=64, stem_pool='max', average_shortcut=False, "
        "shortcut_kernel_size=1, cardinality=1, base_width=64, "
        "first_reduction=1, antialias=False, stride_first=False, "
        "activation_before_attention=False, include_top=True, weights=None, "
        "input_tensor=None, input_shape=None, pooling=None, classes=1000, "
        "classifier_activation='softmax', name='resnet', data_format=None, "
        "dtype=None)"
    ),
    "ScaledStandardizedConv2D": (
        "(filters, kernel_size, *, activation_gain=1, epsilon=1e-05, "
        "gain_initializer='ones', **kwargs)"
    ),
    "SEInceptionV3": THIN.format("seinceptionv3", "use_bias=False"),
    "SEResNet50": THIN.format("seresnet50", "*, use_bias=False"),
    "from_timm": (
        "(name, weights=None, include_top=True, classes=None, "
        "data_format=None, dtype=None, **options)"
    ),
    "list_models": "(pattern=None, pretrained=None)",
    "load_torch_weights": "(model, weights, include_top=True)",
    "preprocessing": "(name, data_format=None, dtype=None, size=None)",
    "save_torch_checkpoint": "(network, path, name=None)",
}

PRUNING = {
    "ChannelGroup": (
        "(name, channels, producers, passthrough, consumers, locked, slices)"
    ),
    "attention_importance": (
        "(model, x, batch_size=None, steps=None, verbose='auto')"
    ),
    "batch_norm_scale": "(group)",
    "channel_groups": "(model)",
    "magnitude": "(group)",
    "prune_channels": (
        "(model, importance, macs=0.5, minimum=0.1, multiple_of=1, "
        "normalize='mean', input_shape=None, verbose='auto')"
    ),
    "remove_channels": "(model, removed)",
}


def signature(function):
    """As a string without annotations: types are not part of the promise."""
    whole = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=parameter.empty)
        for parameter in whole.parameters.values()
    ]
    return str(inspect.Signature(parameters))


@pytest.mark.parametrize("name", MODELS)
def test_signature_in_models(name):
    function = getattr(keras_channel_attn.models, name)
    assert signature(function) == MODELS[name]


@pytest.mark.parametrize("name", PRUNING)
def test_signature_in_pruning(name):
    function = getattr(keras_channel_attn.pruning, name)
    assert signature(function) == PRUNING[name]


def test_public_names_of_pruning():
    assert set(keras_channel_attn.pruning.__all__) == set(PRUNING)
    assert set(dir(keras_channel_attn.pruning)) == set(PRUNING)


def test_public_names():
    exported = {
        name
        for name, value in vars(keras_channel_attn).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert exported == {*LAYERS, *FUNCTIONS, *RESULTS}


@pytest.mark.parametrize("name", RESULTS)
def test_fields(name):
    result = getattr(keras_channel_attn, name)
    fields = [field.name for field in dataclasses.fields(result)]
    assert fields == RESULTS[name].split()
    check_docstring(result, ("Attributes",), fields)


@pytest.mark.parametrize("name", LAYERS)
def test_signature(name):
    constructor = getattr(keras_channel_attn, name).__init__
    assert signature(constructor) == f"(self, {LAYERS[name]})"


@pytest.mark.parametrize("name", LAYERS)
def test_call_signature(name):
    layer_class = getattr(keras_channel_attn, name)
    is_spatial = not issubclass(
        layer_class, keras_channel_attn.ChannelAttention
    )
    more = ", return_spatial_scores=False, training=None" if is_spatial else ""
    assert signature(layer_class.call) == (
        f"(self, inputs, mask=None, return_attention_scores=False{more})"
    )


@pytest.mark.parametrize("name", LAYERS)
def test_docstring_has_every_section(name):
    documented = getattr(keras_channel_attn, name)
    parameters = set(inspect.signature(documented.__init__).parameters)
    check_docstring(
        documented,
        (
            "Args",
            "Call arguments",
            "Input shape",
            "Output shape",
            "Raises",
            "Examples",
        ),
        parameters - {"self", "kwargs"},
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature_of_a_function(name):
    function = getattr(keras_channel_attn, name)
    assert signature(function) == FUNCTIONS[name]


@pytest.mark.parametrize(
    "function",
    [
        *(getattr(keras_channel_attn, name) for name in FUNCTIONS),
        *(
            getattr(keras_channel_attn.pruning, name)
            for name in PRUNING
            if name != "ChannelGroup"
        ),
    ],
    ids=lambda function: function.__name__,
)
def test_docstring_of_a_function_has_every_section(function):
    check_docstring(
        function,
        ("Args", "Returns", "Raises", "Examples"),
        inspect.signature(function).parameters,
    )


# To read a file of theirs, to fetch one, to draw, or to compute in their graph,
# and only then.
WHEN_NEEDED = {
    "checkpoint_files.py": {"torch", "safetensors"},
    "checkpoints.py": {"huggingface_hub", "safetensors"},
    "drawing.py": {"matplotlib"},
    "report_drawing.py": {"matplotlib"},
    "resizing.py": {"jax", "tensorflow"},
    "tables.py": {"pandas"},
}


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(FOLDER))
)
def test_imports_only_keras_and_numpy(path):
    allowed = {"keras", "numpy", "keras_channel_attn"}
    if path.parent.name == "backend":
        # Imported under its own backend only.
        allowed.add(path.stem)
    tree = ast.parse(path.read_text())
    inside_functions = WHEN_NEEDED.get(path.name, set())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "no relative imports"
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            if top in inside_functions and node not in tree.body:
                continue
            assert top in allowed or top in sys.stdlib_module_names, name
            assert not name.startswith("keras.src"), "public API only"


# What the modules of each room may import of the package: see CONTRIBUTING.md.
ROOMS = {
    "_tensors": set(),
    "_pooling": {"_tensors"},
    "arguments": set(),
    "warnings_to_user": set(),
    "ops": {"_pooling", "_tensors"},
    "backend": {"_tensors", "ops"},
    "layers": {
        *("_pooling", "_tensors", "arguments", "backend", "ops"),
        "warnings_to_user",
    },
    "graph": {"warnings_to_user"},
    "analysis": {"arguments", "graph", "layers"},
    "surgery": {"analysis", "arguments", "graph", "layers"},
    "pruning": {"analysis", "arguments", "graph", "layers"},
    "models": {"arguments", "graph", "layers", "surgery"},
}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room):
    files = [path for path in MODULES if path.stem == room]
    files += (FOLDER / room).rglob("*.py")
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                package, _, rest = name.partition(".")
                if package == "keras_channel_attn":
                    imported = rest.partition(".")[0]
                    assert imported in ROOMS[room] | {room}, path


def test_import_registers_the_layers_and_nothing_else():
    """In a fresh process, with only Keras imported before."""
    code = (
        "import keras, sys\n"
        "objects = dict(keras.saving.get_custom_objects())\n"
        "modules = set(sys.modules)\n"
        "settings = keras.config.floatx(), keras.config.image_data_format()\n"
        "import keras_channel_attn\n"
        "added = set(keras.saving.get_custom_objects()) - set(objects)\n"
        "new = {m.partition('.')[0] for m in set(sys.modules) - modules}\n"
        "print(sorted(added))\n"
        "print(sorted(new - set(sys.stdlib_module_names)))\n"
        "assert settings == "
        "(keras.config.floatx(), keras.config.image_data_format())\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert printed == [
        "['keras_channel_attn>ConcurrentSqueezeExcite', "
        "'keras_channel_attn>ConvolutionalBlockAttention', "
        "'keras_channel_attn>CoordinateAttention', "
        "'keras_channel_attn>EfficientChannelAttention', "
        "'keras_channel_attn>GlobalContext', "
        "'keras_channel_attn>ImagePreprocessing', "
        "'keras_channel_attn>LinearSqueezeExcite', "
        "'keras_channel_attn>ScaledStandardizedConv2D', "
        "'keras_channel_attn>SqueezeExcite', "
        "'keras_channel_attn>SqueezeGate']",
        "['keras_channel_attn']",
    ]


@pytest.mark.parametrize(
    "layer",
    [
        keras_channel_attn.ConcurrentSqueezeExcite,
        keras_channel_attn.ConvolutionalBlockAttention,
        keras_channel_attn.CoordinateAttention,
        keras_channel_attn.EfficientChannelAttention,
        keras_channel_attn.GlobalContext,
        keras_channel_attn.LinearSqueezeExcite,
        keras_channel_attn.SqueezeExcite,
        keras_channel_attn.SqueezeGate,
        keras_channel_attn.models.ImagePreprocessing,
        keras_channel_attn.models.ScaledStandardizedConv2D,
    ],
)
def test_registered_name(layer):
    registered = keras.saving.get_registered_name(layer)
    assert registered == f"keras_channel_attn>{layer.__name__}"


def test_is_typed():
    assert (FOLDER / "py.typed").exists()


def test_installed_version_is_that_of_the_source():
    installed = importlib.metadata.version("keras-channel-attn")
    assert installed == keras_channel_attn.__version__


def test_the_public_address_is_the_same_everywhere():
    """See RELEASING.md: none at all, or the same in each file."""
    root = pathlib.Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    expected = project["urls"].get("Repository")
    for name, key in (
        ("mkdocs.yml", "repo_url"),
        ("CITATION.cff", "repository-code"),
    ):
        lines = (root / name).read_text().splitlines()
        found = [x.split(": ", 1)[1] for x in lines if x.startswith(key + ":")]
        assert found == ([] if expected is None else [expected]), name

"""Walking through functional models: the only code that does.

`keras.models.clone_model` computes a model anew, one call of a layer after the
other, on new symbolic tensors. `rebuild` shows each of these calls to a
function that may do something else instead, and carries the weights from each
layer to its copy: never by position, because a new layer changes the order of
`model.layers`, and layers of equal shapes would silently swap their weights.
"""

import inspect

import keras
import numpy as np

_DATA_FORMATS = ("channels_last", "channels_first")
_TRANSPOSING = ("Permute", "Transpose", "Moveaxis", "Swapaxes", "Rot90")


class Call:
    """One call of a layer, or of an operation of `keras.ops`, in a new model.

    Attributes:
        operation: The original layer or operation, never its copy.
        path: String, its name, behind those of the models around it:
            `"backbone/conv1"`.
        args, kwargs: What it is called with: tensors of the new model, and
            whatever else the original was called with.
        inputs: List of the tensors in them.
        graph: `Graph` of the calls made so far in the same model.
        outputs: List of the tensors that stand for the result.
    """

    def __init__(self, operation, path, args, kwargs, graph, builder):
        self.operation = operation
        self.path = path
        self.args = args
        self.kwargs = kwargs
        self.inputs = _tensors((args, kwargs))
        self.graph = graph
        self.outputs = []
        self._builder = builder
        self._evaluated = None

    def run(self, replace=None):
        """Call the copy of the operation.

        Args:
            replace: Dictionary from the `id` of a tensor among the inputs to
                the tensor that is passed in its place.
        """
        args, kwargs = self._replaced(replace or {})
        copy = self._builder.copy(self.operation, self.path)
        return copy(*args, **kwargs)

    def evaluate(self, values):
        """What the operation makes of arrays, one for each input.

        Another copy is called: the original might add a loss to its own.
        """
        tensors = {
            id(tensor): keras.ops.convert_to_tensor(value)
            for tensor, value in zip(self.inputs, values, strict=True)
        }
        args, kwargs = self._replaced(tensors)
        is_layer = isinstance(self.operation, keras.layers.Layer)
        if is_layer:
            kwargs = {**kwargs, "training": False}
        if self._evaluated is None:
            self._evaluated = _from_config(self.operation)
            if is_layer:
                self._evaluated(*args, **kwargs)
                _carry(self.operation, self._evaluated)
        return keras.ops.convert_to_numpy(self._evaluated(*args, **kwargs))

    def inside(self):
        """Of a nested model: the graph and the outputs of its copy."""
        return self._builder.graphs.get(id(self.operation))

    def _replaced(self, tensors):
        return keras.tree.map_structure(
            lambda leaf: tensors.get(id(leaf), leaf), (self.args, self.kwargs)
        )


class Graph:
    """Which call made which tensor, as far as a model has been rebuilt."""

    def __init__(self):
        self._calls = {}

    def record(self, call, outputs):
        call.outputs = _tensors(outputs)
        for tensor in call.outputs:
            # The call keeps its tensors, so that no `id` is used again.
            self._calls.setdefault(id(tensor), call)

    def source(self, tensor):
        """The call that made a tensor, `None` for an input of the model."""
        return self._calls.get(id(tensor))

    def upstream(self, tensor):
        """Set of the `id` of each tensor that this one is made from."""
        found, waiting = set(), [tensor]
        while waiting:
            call = self.source(waiting.pop())
            for one in call.inputs if call else ():
                if id(one) not in found:
                    found.add(id(one))
                    waiting.append(one)
        return found

    def chain(self, end, start):
        """The calls from one tensor to another, if each has a single input.

        Returns:
            List of calls, first to last, or `None`.
        """
        calls = []
        while end is not start:
            call = self.source(end)
            if call is None or len(call.inputs) != 1:
                return None
            calls.append(call)
            end = call.inputs[0]
        return calls[::-1]

    def data_format(self, tensor):
        """The data format that the layers before a tensor were given.

        Returns:
            String, or `None` where nothing tells.
        """
        while (call := self.source(tensor)) is not None:
            data_format = getattr(call.operation, "data_format", None)
            if data_format in _DATA_FORMATS:
                return data_format
            if is_model(call.operation):
                inner, outputs = call.inside()
                ids = [id(one) for one in call.outputs]
                return inner.data_format(outputs[ids.index(id(tensor))])
            if type(call.operation).__name__ in _TRANSPOSING:
                return None
            alike = [one for one in call.inputs if one.shape == tensor.shape]
            if not alike:
                return None
            tensor = alike[0]
        return None


def is_model(operation):
    """Whether Keras knows the graph of it: functional or sequential.

    A model with a `call` of its own may do anything with its graph.
    """
    return isinstance(
        operation, (keras.Function, keras.Sequential)
    ) and _is_from_keras(type(operation).call)


def is_operation(operation, name):
    """Whether it is a function of `keras.ops`, or an operator, by its name."""
    return (
        not isinstance(operation, keras.layers.Layer)
        and type(operation).__name__ == name
    )


def operations(model, prefix=""):
    """Dictionary from the path of each layer and operation to itself.

    Those of nested models are there too, with the path `"outer/inner"`.
    """
    found = {}
    inside = (
        model.operations if isinstance(model, keras.Function) else model.layers
    )
    for operation in inside:
        path = prefix + operation.name
        found[path] = operation
        if is_model(operation):
            found.update(operations(operation, path + "/"))
    return found


def kernels(operation):
    """How many kernels an operation multiplies its input with."""
    weights = getattr(operation, "weights", ())
    return sum(len(weight.shape) >= 2 for weight in weights)


def trace(model):
    """All calls in a model, in the order of computation, and its outputs.

    Returns:
        A pair: list of `Call`, those in nested models included; and set of the
        `id` of each tensor that is an output of one of these models.
    """
    calls = []
    # `append` returns None: all calls are left alone.
    builder = _Builder(calls.append)
    builder.rebuilt(model, "")
    ends = {
        id(tensor)
        for _, outputs in builder.graphs.values()
        for tensor in outputs
    }
    return calls, ends


def rebuild(model, rewrite):
    """A copy of a model in which some calls are replaced.

    The model must be functional or sequential and built. Its copy has layers of
    its own with the same names, configurations, weights and `trainable` flags,
    and is not compiled. A model that holds a layer which is no copy is
    trainable itself, whatever the original was.

    Args:
        model: A model of Keras. It stays as it is.
        rewrite: Callable that takes a `Call` and returns the outputs to use
            instead, or `None` to leave it alone. It is called for each call,
            those in nested models included, in the order of computation.

    Returns:
        A model of the same class, or a plain functional model where that class
        does not take inputs and outputs, or has a configuration of its own.
    """
    builder = _Builder(rewrite)
    copy, _ = builder.rebuilt(model, "")
    builder.carry()
    return copy


class _Builder:
    def __init__(self, rewrite):
        self.rewrite = rewrite
        self.rewritten = 0
        # From the id of an original to itself and its copy.
        self.copies = {}
        # Pairs of a model and its copy, nested ones before those around them.
        self.models = []
        # From the id of a model to the graph and the outputs of its copy.
        self.graphs = {}

    def rebuilt(self, model, prefix):
        """The copy of a model, and whether anything was rewritten in it."""
        graph, before = Graph(), self.rewritten

        def call_function(operation, *args, **kwargs):
            path = prefix + operation.name
            call = Call(operation, path, args, kwargs, graph, self)
            outputs = self.rewrite(call)
            if outputs is None:
                outputs = call.run()
            else:
                self.rewritten += 1
            graph.record(call, outputs)
            return outputs

        # Not the model itself: Keras would compile its copy too.
        plain = _functional(model)
        layers = {id(layer.output): layer for layer in _input_layers(plain)}
        inputs = keras.tree.map_structure(
            lambda tensor: _new_input(tensor, layers.get(id(tensor))),
            plain.input,
        )
        copy = keras.models.clone_model(
            plain,
            input_tensors=inputs,
            clone_function=lambda operation: operation,
            call_function=call_function,
        )
        self.graphs[id(model)] = graph, copy.outputs
        copy = _like(model, copy)
        self.models.append((model, copy))
        return copy, self.rewritten > before

    def copy(self, operation, path):
        """The copy of a layer or operation, made at its first call."""
        if id(operation) not in self.copies:
            self.copies[id(operation)] = operation, self._copy(operation, path)
        return self.copies[id(operation)][1]

    def _copy(self, operation, path):
        if is_model(operation):
            copies, models = dict(self.copies), list(self.models)
            copy, rewritten = self.rebuilt(operation, path + "/")
            if rewritten or _is_from_keras(type(operation)):
                return copy
            # Nothing was done to it: let it keep a class with its own ideas.
            self.copies, self.models = copies, models
        return _from_config(operation)

    def carry(self):
        """Give the copies the weights and flags of the originals."""
        known = {id(copy) for _, copy in self.copies.values()}
        rebuilt = {id(copy) for _, copy in self.models}
        grown = set()
        for _, copy in self.models:
            if any(
                id(layer) in grown or id(layer) not in known
                for layer in copy.layers
                if not isinstance(layer, keras.layers.InputLayer)
            ):
                grown.add(id(copy))
        # The outermost first: the flag of a model reaches all layers inside.
        for model, copy in reversed(self.models):
            if id(copy) not in grown:
                copy.trainable = model.trainable
            copy.dtype_policy = model.dtype_policy
        for original, copy in self.copies.values():
            if isinstance(original, keras.layers.Layer) and (
                id(copy) not in rebuilt
            ):
                _carry(original, copy)


def _carry(original, copy):
    """Give a layer that is no model the weights and flags of another."""
    # Own arrays: JAX frees those that a training step was given.
    copy.set_weights([np.array(w) for w in original.get_weights()])
    # The flag of a layer reaches those inside it, which may have others.
    for one, other in zip(_layers(original), _layers(copy), strict=False):
        if type(one) is type(other) and other.trainable != one.trainable:
            other.trainable = one.trainable
        if isinstance(other, keras.layers.Normalization):
            # What it computes with is made from its weights.
            other.finalize_state()
    for one, other in zip(original.weights, copy.weights, strict=True):
        if other.trainable != one.trainable:
            other.trainable = one.trainable


def _layers(layer):
    """A layer and all layers that it holds, each before those inside it."""
    found, waiting = {}, [layer]
    while waiting:
        one = waiting.pop()
        if id(one) not in found:
            found[id(one)] = one
            waiting += [
                held
                for held in keras.tree.flatten(list(vars(one).values()))
                if isinstance(held, keras.layers.Layer)
            ]
    return list(found.values())


def _is_from_keras(thing):
    return thing.__module__.partition(".")[0] == "keras"


def _tensors(structure):
    return [
        leaf
        for leaf in keras.tree.flatten(structure)
        if isinstance(leaf, keras.KerasTensor)
    ]


def _functional(model):
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def _input_layers(model):
    return [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.InputLayer)
    ]


def _new_input(tensor, layer):
    return keras.Input(
        batch_shape=tensor.shape,
        dtype=tensor.dtype,
        sparse=tensor.sparse,
        optional=getattr(layer, "optional", False),
        # The tensor has a name of its own where the layer was given none.
        name=getattr(layer, "name", tensor.name),
    )


def _like(model, functional):
    """A functional model as one of the class of another, where that can be."""
    if type(model) is type(functional):
        return functional
    if isinstance(model, keras.Sequential):
        inherited = type(model).__init__ is keras.Sequential.__init__
        kind = type(model) if inherited else keras.Sequential
        return kind(functional.layers, name=model.name)
    if _is_from_keras(type(model).get_config) and _is_made_of_tensors(
        type(model), type(functional)
    ):
        return type(model)(functional.input, functional.output, name=model.name)
    return functional


def _is_made_of_tensors(kind, functional):
    """Whether a class is constructed like a functional model: Keras' rule."""
    own = inspect.getfullargspec(kind.__init__)
    expected = inspect.getfullargspec(functional.__init__)
    return own.args == expected.args or bool(own.varargs and own.varkw)


def _from_config(operation):
    if not isinstance(operation, keras.layers.Layer):
        return _operation_from_config(operation)
    config = operation.get_config()
    if isinstance(operation, keras.layers.Lambda):
        copy = type(operation).from_config(config, safe_mode=False)
        # Its functions are at hand: revived from strings they have lost what
        # they refer to.
        for name, value in vars(operation).items():
            if inspect.isfunction(value):
                setattr(copy, name, value)
        return copy
    # Functions of the user, such as an activation, are known by name only.
    functions = {
        value.__name__: value
        for value in vars(operation).values()
        if inspect.isfunction(value)
    }
    try:
        with keras.saving.custom_object_scope(functions):
            return type(operation).from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"The layer '{operation.name}' (of type "
            f"{type(operation).__name__}) cannot be made again from its "
            f"configuration: {error} Give it a `get_config` that its "
            "constructor takes, and register what it refers to with "
            "`keras.saving.register_keras_serializable`."
        ) from error


def _operation_from_config(operation):
    """An operation of `keras.ops` anew; it has no weights."""
    try:
        copy = type(operation).from_config(operation.get_config())
    except (TypeError, ValueError, NotImplementedError):
        # It holds a function or the like: the same one does.
        return operation
    # The configuration does not hold the name.
    copy.name = operation.name
    return copy

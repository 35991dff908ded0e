"""The code and the table of docs/detection.md."""

import functools

import pytest
from kyolo import models
from support import detection_page

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    insert_attention,
    model_costs,
)


@functools.cache
def namespace():
    """What the blocks about a YOLO define."""
    defined = {}
    for first_words in ("import keras", "import re", "PLACES", "from keras"):
        exec(detection_page.code(first_words), defined)
    return defined


@functools.cache
def network(name):
    return getattr(models, name)(nc=3, input_shape=(64, 64, 3))


def where(name, place):
    if place == "residual branches":
        return "residual"
    return namespace()["name_matches"](namespace()["PLACES"][name[:-1]][place])


def added_parameters(name, attention, place):
    copy = insert_attention(network(name), attention, where(name, place))
    before = model_costs(network(name)).parameters
    return model_costs(copy).parameters - before


def test_code_about_a_yolo():
    defined = namespace()
    assert defined["detector"].nc == 3
    assert len(defined["sites"]) == 42


def test_the_table_has_all_places():
    families = namespace()["PLACES"]
    expected = {
        (family, place)
        for family, patterns in families.items()
        for place in ("residual branches", *patterns)
    }
    rows = detection_page.rows()
    assert {(name[:-1], place) for name, place, *_ in rows} == expected
    assert len(rows) == len(expected) == 16


@pytest.mark.parametrize(
    ("name", "place", "sites", "squeeze_excite", "efficient"),
    detection_page.rows(),
)
def test_row(name, place, sites, squeeze_excite, efficient):
    assert len(attention_sites(network(name), where(name, place))) == sites
    costs = [
        added_parameters(name, attention, place)
        for attention in (SqueezeExcite(), EfficientChannelAttention())
    ]
    assert costs == [squeeze_excite, efficient]


@pytest.mark.parametrize(
    ("name", "other"),
    [("yolov9t", "yolov9c"), ("yolov8n", "yolov8s"), ("yolo11n", "yolo11s")],
)
def test_patterns_hold_for_other_sizes(name, other):
    for place in namespace()["PLACES"][name[:-1]]:
        first, second = (
            attention_sites(network(x), where(x, place)) for x in (name, other)
        )
        assert first == second


@pytest.mark.parametrize("name", ["yolov5n", "yolov8n", "yolov9t", "yolo11n"])
def test_the_head_reads_what_stands_before_it(name):
    """Each of the three layers feeds both branches of the head."""
    model = network(name)
    sites = attention_sites(model, where(name, "before the head"))
    for level, site in enumerate(sites):
        readers = {
            node.operation.name
            for node in model.get_layer(site)._outbound_nodes
        }
        for branch in ("cv2", "cv3"):
            prefix = f"{model.head_prefix}-{branch}-{level}-"
            assert any(reader.startswith(prefix) for reader in readers)

"""The names that `from_timm` knows."""

import pytest

from keras_channel_attn.models import list_models, preprocessing


def test_all_networks():
    names = list_models()
    assert len(names) == len(set(names))
    assert {"seresnet50", "ecaresnet101d", "senet154", "resnet50"} < {*names}
    assert not any("." in name for name in names)


def test_numbers_are_sorted_by_value():
    assert list_models("legacy_seresnet*") == [
        f"legacy_seresnet{depth}" for depth in (18, 34, 50, 101, 152)
    ]


def test_checkpoints():
    checkpoints = list_models(pretrained=True)
    assert {name.partition(".")[0] for name in checkpoints} <= {*list_models()}
    assert list_models("seresnet50.*", pretrained=True)
    assert all(preprocessing(name).size for name in checkpoints[::20])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("senet154", ["senet154"]),
        (["senet154", "resnet26?"], ["resnet26d", "resnet26t", "senet154"]),
        ("nothing*", []),
    ],
)
def test_pattern(pattern, expected):
    assert list_models(pattern) == expected


def test_pattern_without_a_tag_fits_all_tags():
    assert list_models("seresnet50", pretrained=True) == list_models(
        "seresnet50.*", pretrained=True
    )
    assert list_models("*.miil_in1k", pretrained=True)


@pytest.mark.parametrize("pattern", [3, [1], [None, "senet154"]])
def test_pattern_of_another_type(pattern):
    with pytest.raises(TypeError, match="`pattern` must be a string"):
        list_models(pattern)


def test_pretrained_of_another_type():
    with pytest.raises(TypeError, match=r"`pretrained`.*'no'"):
        list_models(pretrained="no")

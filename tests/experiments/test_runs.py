"""Results files that are cut, damaged, shared, or somebody else's."""

import itertools

import keras
import pytest

from experiments import ablation, data
from experiments.runs import ResultsFile, duration, fraction, settings_of

SETTINGS = {"dataset": "digits", "epochs": "2", "backend": "jax"}
READERS = {"parameters": int, "accuracy": fraction, "seconds": duration}
RUNS = {
    ("ECA", seed): {"parameters": 12, "accuracy": accuracy, "seconds": 0.5}
    for seed, accuracy in enumerate([0.9, 0.91, 0.92])
}


def results_file(tmp_path, **settings):
    return ResultsFile(
        tmp_path / "results.csv",
        ["vanilla", "ECA"],
        READERS,
        {**SETTINGS, **settings},
    )


def write(file, count=3, start=0):
    for (row, seed), results in itertools.islice(RUNS.items(), start, count):
        file.append(row, seed, results)


def check_refusal(file, content, message):
    """The file is refused, and left as it was."""
    file.path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        file.read()
    assert file.path.read_bytes() == content


def test_file_that_was_cut_anywhere(tmp_path):
    """All finished runs are read, nothing else, and the file can go on."""
    file = results_file(tmp_path)
    write(file)
    content = file.path.read_bytes()
    assert content.count(b"\n") == 4
    for size in range(len(content) + 1):
        file.path.write_bytes(content[:size])
        finished = max(content[:size].count(b"\n") - 1, 0)
        assert list(file.read().items()) == list(RUNS.items())[:finished]
        write(file, start=finished)
        assert file.path.read_bytes() == content


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "3"}, "other settings: epochs 2, not 3. Take"),
        ({"backend": "torch"}, "other settings: backend jax, not torch"),
        (
            {"dataset": "fashion_mnist", "epochs": "9"},
            "dataset digits, not fashion_mnist; epochs 2, not 9",
        ),
    ],
)
def test_other_settings(tmp_path, settings, message):
    write(results_file(tmp_path), 1)
    content = (tmp_path / "results.csv").read_bytes()
    check_refusal(results_file(tmp_path, **settings), content, message)


@pytest.mark.parametrize("count", [1, 2])
def test_other_settings_in_a_line_that_was_cut(tmp_path, count):
    write(results_file(tmp_path), count)
    content = (tmp_path / "results.csv").read_bytes().removesuffix(b"\n")
    message = "other settings: epochs 2, not 3"
    check_refusal(results_file(tmp_path, epochs="3"), content, message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("row,seed", "name,seed", "not a results file of this study"),
        ("ECA,1", "CBAM,1", "line 3, is not a run of this study: CBAM,1,12"),
        ("ECA,1", "ECA,one", "line 3, is not a run"),
        ("ECA,1,12", "ECA", "line 3, is not a run"),
        ("ECA,1", "\nECA,1", "line 3, is not a run"),
        ("2,jax\n", "2,jax,more\n", "line 2, is not a run"),
        ("0.91,", "nan,", "line 3, is not a run"),
        ("0.91,", "91,", "line 3, is not a run"),
        ("0.91,0.5", "0.91,inf", "line 3, is not a run"),
        ("0.91", "9" * 200_000, "line 3, is not a run"),
        ("ECA,1", "ECA,0", "line 3, is a second result of ECA with seed 0"),
    ],
)
def test_damaged_file(tmp_path, old, new, message):
    file = results_file(tmp_path)
    write(file, 2)
    damaged = file.path.read_text().replace(old, new)
    check_refusal(file, damaged.encode(), message)


@pytest.mark.parametrize(
    "content",
    [
        b"my,only,copy\n1,2,3\n4,5,6",
        b"one line of somebody else",
        b"\xff\xfe\x00\n\x00",
    ],
)
def test_foreign_file(tmp_path, content):
    message = "not a results file of this study"
    check_refusal(results_file(tmp_path), content, message)


def test_two_processes(tmp_path, monkeypatch):
    """Both find no file, and one header is written; a run may be twice."""
    ours, theirs = results_file(tmp_path), results_file(tmp_path)
    write_line = ours.write_line

    def write_after_them(mode, cells):
        monkeypatch.setattr(ours, "write_line", write_line)
        theirs.append("ECA", 1, {**RUNS["ECA", 1], "seconds": 0.7})
        write_line(mode, cells)

    monkeypatch.setattr(ours, "write_line", write_after_them)
    write(ours, 2)
    content = ours.path.read_bytes()
    assert content.count(b"row,seed") == 1
    assert content.count(b"\n") == 4
    found = ours.read()
    assert found.keys() == {("ECA", 0), ("ECA", 1)}
    assert found["ECA", 1]["seconds"] == 0.7


def test_frame_is_in_the_order_of_the_rows(tmp_path):
    file = results_file(tmp_path)
    for row, seed in [("ECA", 1), ("ECA", 0), ("vanilla", 1)]:
        file.append(row, seed, RUNS["ECA", seed])
    frame = file.frame()
    assert list(frame["row"]) == ["vanilla", "ECA", "ECA"]
    assert list(frame["seed"]) == [1, 0, 1]
    assert list(frame["accuracy"]) == [0.91, 0.9, 0.91]


def test_settings_tell_data_apart(monkeypatch):
    settings = settings_of(ablation.QUICK)
    assert settings["images"] == "898+899"
    assert settings["widths"] == "32-32-64-64"
    assert settings["learning_rate"] == "0.003"
    assert settings["floatx"] == "float32"
    assert settings["keras"] == keras.__version__
    changed = [array.copy() for array in data.load_data("digits")]
    changed[3][0] += 1
    monkeypatch.setattr(data, "load_data", lambda dataset: changed)
    data.description.cache_clear()
    other = settings_of(ablation.QUICK)
    data.description.cache_clear()
    different = {name for name in settings if settings[name] != other[name]}
    assert different == {"data_crc32"}

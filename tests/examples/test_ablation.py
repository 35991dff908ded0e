"""Runs that are killed, files that are damaged, and what the numbers carry."""

import csv
import dataclasses
import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = "ablation.py"
ROWS = ["vanilla", "SE-GC-16"]
QUICK = ("--quick", "--epochs", "2", "--rows", *ROWS, "--seeds")
# In all, without attention: the network of `--quick`.
VANILLA = 170_794
SETTINGS = {"dataset": "digits", "epochs": "2", "backend": "jax"}


@pytest.fixture
def script(import_example):
    return import_example("ablation")


"""
## The rows
"""

# ECA paper, table 2, for C channels.
WEIGHTS = {
    "vanilla": lambda channels: 0,
    "SE": lambda channels: 2 * channels**2 // 16,
    "SE-Var1": lambda channels: 0,
    "SE-Var2": lambda channels: channels,
    "SE-Var3": lambda channels: channels**2,
    "SE-GC-16": lambda channels: channels**2 // 16,
    "SE-GC-C/16": lambda channels: 16 * channels,
    "SE-GC-C/8": lambda channels: 8 * channels,
    "ECA-NS": lambda channels: 3 * channels,
    "ECA": lambda channels: 3,
}


@pytest.mark.parametrize("row", WEIGHTS)
def test_weights_are_those_of_the_paper(script, row):
    assert list(script.ROWS) == list(WEIGHTS)
    widths = script.QUICK.widths
    model = script.network(row, 0, (8, 8, 1), widths)
    expected = sum(map(WEIGHTS[row], widths))
    assert script.attention_parameters(model) == expected
    assert model.count_params() == VANILLA + expected


@pytest.mark.parametrize("plan", ["QUICK", "FULL"])
def test_no_two_rows_coincide(script, plan):
    for channels in getattr(script, plan).widths:
        # Of those that have weights; `ECA-NS` is no matrix.
        matrices = [WEIGHTS[row](channels) for row in WEIGHTS if "SE-" in row]
        assert channels % 16 == 0
        assert len(set(matrices)) == len(matrices)


def weights_outside_attention(script, model):
    return {
        layer.name: layer.get_weights()
        for layer in model.layers
        if not isinstance(layer, script.ChannelAttention)
    }


def test_same_weights_outside_attention(script):
    plain, attended, other_seed = (
        weights_outside_attention(
            script, script.network(row, seed, (8, 8, 1), (16, 32))
        )
        for row, seed in (("vanilla", 0), ("SE-Var3", 0), ("SE-Var3", 1))
    )
    assert plain.keys() == attended.keys()
    for name, weights in plain.items():
        for ours, theirs in zip(weights, attended[name], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    kernels = plain["stem"][0], other_seed["stem"][0]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_same_images_in_the_same_order(script):
    """Attention that is 1 and stays so trains as no attention does."""

    class Losses(script.Clock):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            self.losses = [*getattr(self, "losses", []), logs["loss"]]

    frozen = script.EfficientChannelAttention(
        identity_start=True, trainable=False
    )
    script.ROWS["frozen"] = script.Row("", lambda channels: frozen, 0.0)
    data = [array[:64] for array in script.load_data("digits")[0]]
    plan = script.Plan("digits", (16,), 16, 2)

    def losses(row, seed):
        clock = Losses(script.Progress(3, plan.epochs), row)
        script.train_and_test(row, seed, data, plan, clock)
        return clock.losses

    expected = losses("vanilla", 0)
    np.testing.assert_allclose(losses("frozen", 0), expected, rtol=1e-4)
    assert not np.allclose(losses("vanilla", 1), expected, rtol=1e-2)


"""
## The results file
"""


def runs_of(script, row, accuracies):
    return [
        script.Run(row, seed, 12, 1000, accuracy, 0.5)
        for seed, accuracy in enumerate(accuracies)
    ]


def write_runs(script, path, runs):
    for run in runs:
        script.append_run(path, run, SETTINGS)


def test_a_file_that_was_cut_anywhere(script, tmp_path):
    """All that was finished is there, nothing else, and it goes on."""
    path = tmp_path / "results.csv"
    runs = runs_of(script, "ECA", [0.9, 0.91, 0.92])
    write_runs(script, path, runs)
    content = path.read_bytes()
    assert content.count(b"\n") == 4
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        found = script.read_runs(path, SETTINGS)
        finished = max(content[:size].count(b"\n") - 1, 0)
        assert list(found.values()) == runs[:finished]
        write_runs(script, path, runs[finished:])
        assert path.read_bytes() == content


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
def test_other_settings(script, tmp_path, settings, message):
    path = tmp_path / "results.csv"
    write_runs(script, path, runs_of(script, "ECA", [0.9]))
    content = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        script.read_runs(path, {**SETTINGS, **settings})
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("row,seed", "name,seed", "not a results file of this script"),
        ("ECA,1", "CBAM,1", "line 3, is not a run of this script: CBAM,1,12"),
        ("ECA,1", "ECA,one", "line 3, is not a run"),
        ("ECA,1,12", "ECA", "line 3, is not a run"),
        ("2,jax\n", "2,jax,more\n", "line 2, is not a run"),
        ("0.91,", "nan,", "line 3, is not a run"),
        ("0.91,", "91,", "line 3, is not a run"),
        ("0.91,0.5", "0.91,inf", "line 3, is not a run"),
        ("ECA,1", "ECA,0", "line 3, is a second result of ECA with seed 0"),
    ],
)
def test_not_a_results_file(script, tmp_path, old, new, message):
    path = tmp_path / "results.csv"
    write_runs(script, path, runs_of(script, "ECA", [0.9, 0.91]))
    damaged = path.read_text().replace(old, new)
    path.write_text(damaged)
    with pytest.raises(ValueError, match=message):
        script.read_runs(path, SETTINGS)
    assert path.read_text() == damaged


@pytest.mark.parametrize(
    "content",
    [
        b"my,only,copy\n1,2,3\n4,5,6",
        b"one line of somebody else",
        b"\xff\xfe\x00\n\x00",
    ],
)
def test_files_of_others_are_not_cut(script, tmp_path, content):
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a results file of this script"):
        script.read_runs(path, SETTINGS)
    assert path.read_bytes() == content


@pytest.mark.parametrize("count", [1, 2])
def test_other_settings_without_the_last_line_end(script, tmp_path, count):
    path = tmp_path / "results.csv"
    write_runs(script, path, runs_of(script, "ECA", [0.9, 0.91][:count]))
    content = path.read_bytes().removesuffix(b"\n")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="other settings: epochs 2, not 3"):
        script.read_runs(path, {**SETTINGS, "epochs": "3"})
    assert path.read_bytes() == content


def test_two_processes(script, tmp_path, monkeypatch):
    """Both find no file, and one header is written; a run may be twice."""
    path = tmp_path / "results.csv"
    ours, theirs = runs_of(script, "ECA", [0.9, 0.91])
    again = dataclasses.replace(theirs, epoch_seconds=0.7)
    write_line = script.write_line

    def write_after_them(path, mode, cells):
        monkeypatch.setattr(script, "write_line", write_line)
        script.append_run(path, theirs, SETTINGS)
        write_line(path, mode, cells)

    monkeypatch.setattr(script, "write_line", write_after_them)
    write_runs(script, path, [ours, again])
    found = script.read_runs(path, SETTINGS)
    assert list(found.values()) == [theirs, ours]
    assert path.read_bytes().count(b"row,seed") == 1
    assert path.read_bytes().count(b"\n") == 4


def test_settings_tell_data_apart(script):
    data = script.load_data("digits")[0]
    changed = [array.copy() for array in data]
    changed[3][0] += 1
    ours, same, other = (
        script.settings_of(script.QUICK, arrays)
        for arrays in (data, [array.copy() for array in data], changed)
    )
    assert ours == same
    assert ours["images"] == "898+899"
    assert {name for name in ours if ours[name] != other[name]} == {
        "data_crc32"
    }
    assert ours["learning_rate"] == "0.003"
    assert ours["floatx"] == "float32"
    assert ours["keras"] == script.keras.__version__


"""
## What the numbers carry
"""


def conclusions(script, **accuracies):
    runs = itertools.chain.from_iterable(
        runs_of(script, row, those) for row, those in accuracies.items()
    )
    return script.conclusions({(run.row, run.seed): run for run in runs}, 200)


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        # Differences 1, 2, 3, 2: deviation sqrt(2/3), error half of that.
        # Student's factor for three degrees of freedom is 3.18, for a third of
        # 5 % 4.86.
        ([0.91, 0.82, 0.73, 0.62], "+2.00 ± 0.41, a difference"),
        # 0, 2, 3, 2: deviation sqrt(19/12).
        ([0.9, 0.82, 0.73, 0.62], "+1.75 ± 0.63, within the spread: no"),
        # 1, 3, 3, 1: deviation sqrt(4/3).
        ([0.91, 0.83, 0.73, 0.61], "+2.00 ± 0.58, may be chance: it stands"),
        # All four agree: by one image of 200 half a point, error a quarter.
        ([0.905, 0.805, 0.705, 0.605], "+0.50 ± 0.25, within the spread: no"),
        ([0.91, 0.81, 0.71, 0.61], "+1.00 ± 0.25, may be chance"),
        ([0.87, 0.77, 0.67, 0.57], "-3.00 ± 0.25, a difference"),
        ([0.9, 0.8, 0.7, 0.6], "+0.00 ± 0.25, within the spread: no"),
        # However large.
        ([0.5, 0.4, 0.3], "-40.00 ± 0.29, too few seeds for a verdict"),
        ([0.5, 0.4], "-40.00 ± 0.35, too few seeds for a verdict"),
    ],
)
def test_conclusions(script, accuracies, expected):
    lines = conclusions(
        script,
        vanilla=[0.9, 0.8, 0.7, 0.6],
        SE=[0.8, 0.9, 0.6, 0.7],
        ECA=accuracies,
    )
    assert lines[0].startswith("Against vanilla, seed by seed: mean difference")
    assert lines[2].startswith(f"- ECA: {expected}")
    assert lines[3].startswith("Against SE")
    assert lines[4].startswith("- ECA: ")
    verdicts = 3 if len(accuracies) == 4 else 1
    assert f" of {verdicts} comparisons stand out" in lines[5]


def test_too_few_seeds_for_any_verdict(script):
    lines = conclusions(script, vanilla=[0.9, 0.8], SE=[0.4, 0.3])
    assert lines[1:] == ["- SE: -50.00 ± 0.35, too few seeds for a verdict."]


@pytest.mark.parametrize("seeds", [4, 5, 10])
@pytest.mark.parametrize("mistakes", [1, 10, 200])
def test_chance_alone_shows_no_difference(script, seeds, mistakes):
    """Where all rows are alike, some difference is shown 1 time in 20."""
    rng = np.random.default_rng(0)
    images, experiments, wrong = 900, 200, 0
    for _ in range(experiments):
        # What seeds have in common, and a row of its own.
        shared = rng.poisson(mistakes / 2, seeds)
        lines = script.conclusions(
            {
                (run.row, run.seed): run
                for row in script.ROWS
                for run in runs_of(
                    script,
                    row,
                    1 - (shared + rng.poisson(mistakes / 2, seeds)) / images,
                )
            },
            images,
        )
        wrong += any(line.endswith(", a difference.") for line in lines)
    # 10 are expected at most; more than 20 of them once in a thousand times.
    assert wrong <= 20


@pytest.mark.parametrize(
    "accuracies",
    [
        {"vanilla": [0.9], "SE": [0.8]},
        {"vanilla": [0.9, 0.8]},
        {"SE-Var1": [0.9, 0.8], "ECA": [0.9, 0.8]},
    ],
)
def test_nothing_to_compare(script, accuracies):
    assert conclusions(script, **accuracies) == [
        "Nothing to compare: that takes two rows and two seeds, one of the "
        "rows vanilla or SE."
    ]


"""
## The command
"""


def refusal(script, monkeypatch, capsys, *arguments):
    """The message with which the command ends before it runs anything."""
    monkeypatch.setattr("sys.argv", [SCRIPT, *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 2
    return capsys.readouterr().err


def test_settings_of_the_command(script, tmp_path, monkeypatch, capsys):
    path = tmp_path / "results.csv"
    data = script.load_data("digits")[0]
    settings = script.settings_of(script.QUICK, data)
    script.append_run(path, runs_of(script, "ECA", [0.9])[0], settings)
    content = path.read_bytes()
    arguments = ("--quick", "--epochs", "3", "--output", tmp_path)
    message = refusal(script, monkeypatch, capsys, *arguments)
    assert "holds runs of other settings: epochs 10, not 3. Take" in message
    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["results.csv"]


# Two blocks of 32 channels and two of 64.
ATTENTION = {"vanilla": 0, "SE-GC-16": 2 * (32**2 + 64**2) // 16}


def write_first_seed(script, path):
    """What an earlier call has left: each run takes seconds."""
    path.parent.mkdir(parents=True)
    plan = dataclasses.replace(script.QUICK, epochs=2)
    settings = script.settings_of(plan, script.load_data("digits")[0])
    for row, weights in ATTENTION.items():
        run = script.Run(row, 0, weights, VANILLA + weights, 0.9, 0.5)
        script.append_run(path, run, settings)


def finished_runs(path):
    """The lines with an end, without the header."""
    if not path.exists():
        return []
    return path.read_bytes().split(b"\n")[1:-1]


def kill_after_a_run(process, path, limit=300):
    """Returns how many runs are in the file then."""
    before = len(finished_runs(path))
    start = time.monotonic()
    try:
        while len(finished_runs(path)) == before:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() - start < limit
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()
    return len(finished_runs(path))


def check_results(path, before, seeds):
    assert path.read_bytes().startswith(before)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["row"], line["seed"]) for line in lines] == [
        (row, str(seed)) for seed in range(seeds) for row in ROWS
    ]
    for line in lines:
        weights = ATTENTION[line["row"]]
        assert int(line["attention_parameters"]) == weights
        assert int(line["parameters"]) == VANILLA + weights
        # One class of ten is one tenth.
        assert 0.5 < float(line["accuracy"]) <= 1
        assert float(line["epoch_seconds"]) > 0
        assert (line["dataset"], line["epochs"]) == ("digits", "2")
    return lines


def check_table(done, lines, seeds):
    for row in ROWS:
        accuracies = [
            100 * float(line["accuracy"])
            for line in lines
            if line["row"] == row
        ]
        printed = next(
            line.split()
            for line in done.stdout.splitlines()
            if line.startswith(f"{row} ")
        )
        assert float(printed[4]) == pytest.approx(
            np.mean(accuracies), abs=0.005
        )
        assert float(printed[5]) == pytest.approx(
            np.std(accuracies, ddof=1), abs=0.005
        )
        assert printed[6] == str(seeds)
    assert "Against vanilla, seed by seed" in done.stdout
    assert "- SE-GC-16: " in done.stdout


def check_picture(path):
    picture = imread(path)
    assert min(picture.shape[:2]) > 400
    colors = np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)
    assert len(colors) > 50


def test_killed_and_resumed(script, start_example, run_example, tmp_path):
    """Some runs are there, and half a line, when it is resumed."""
    folder = tmp_path / "outputs" / "ablation_digits"
    path = folder / "results.csv"
    write_first_seed(script, path)
    before = path.read_bytes()
    # So many that it cannot be done when it is killed: three, if not more.
    count = kill_after_a_run(start_example(SCRIPT, *QUICK, 1000), path)
    assert path.read_bytes().startswith(before)
    before = path.read_bytes()
    before = before[: before.rindex(b"\n") + 1]
    path.write_bytes(before + b"SE-GC-16,1,640,171434,0.9")

    seeds = count // 2 + 1
    missing = 2 * seeds - count
    done = run_example(SCRIPT, *QUICK, seeds)
    assert done.returncode == 0, done.stderr
    assert f"{count} of {2 * seeds} runs are in" in done.stdout
    assert f"[{missing:3}/{missing}] seed {seeds - 1}: SE-GC-" in done.stdout
    assert " left\n" in done.stdout
    check_table(done, check_results(path, before, seeds), seeds)
    check_picture(folder / "results.png")
    # Nothing else: no half-written file is left.
    assert sorted(one.name for one in folder.iterdir()) == [
        "results.csv",
        "results.png",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "CBAM"], "invalid choice: 'CBAM'"),
        (["--seeds", "0"], "--seeds: must be a whole number of at least 1"),
        (["--epochs", "few"], "Received: 'few'"),
        (["--quick", "--data-dir", "."], "for Fashion-MNIST, not for --quick"),
    ],
)
def test_wrong_arguments(script, monkeypatch, capsys, arguments, message):
    assert message in refusal(script, monkeypatch, capsys, *arguments)


@pytest.fixture
def command(script, monkeypatch, tmp_path):
    """The command in this process, with runs that take no time."""

    def run(*arguments, run_for=lambda row, seed: None, data=("--quick",)):
        def train_and_test(row, seed, data, plan, clock):
            clock.on_epoch_begin(0)
            clock.on_epoch_end(0)
            run_for(row, seed)
            return script.Run(row, seed, 12, 1000, 0.9, 0.5)

        monkeypatch.setattr(script, "train_and_test", train_and_test)
        monkeypatch.setattr(
            "sys.argv",
            [SCRIPT, "--output", str(tmp_path), *data, *arguments],
        )
        script.main()

    return run


def test_one_row(command, tmp_path, capsys):
    # A warning is an error: of constrained_layout, too small a figure.
    command("--rows", "ECA")
    assert "ECA" in capsys.readouterr().out
    check_picture(tmp_path / "results.png")


def test_interrupted(command, tmp_path, capsys):
    def interrupt(row, seed):
        if seed == 1:
            raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="Stopped"):
        command("--rows", "vanilla", "ECA", run_for=interrupt)
    printed = capsys.readouterr().out
    assert "\nvanilla  " in printed
    assert "\nECA  " in printed
    check_picture(tmp_path / "results.png")


def test_interrupted_before_the_first_run(command, tmp_path):
    def interrupt(row, seed):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="Stopped"):
        command(run_for=interrupt)
    assert not list(tmp_path.iterdir())


def test_disk_full(command, script, monkeypatch):
    def write_line(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(script, "write_line", write_line)
    with pytest.raises(SystemExit) as end:
        command()
    message = end.value.code.strip()
    assert "results.csv could not be written: " in message
    assert message.endswith("No space left on device")
    assert "\n" not in message


def test_runs_of_another_process_are_in_the_table(
    command, script, tmp_path, capsys
):
    settings = script.settings_of(script.QUICK, script.load_data("digits")[0])

    def other_process(row, seed):
        run = script.Run("SE", seed, 12, 1000, 0.9, 0.5)
        script.append_run(tmp_path / "results.csv", run, settings)

    command("--rows", "ECA", run_for=other_process)
    assert "\nSE  " in capsys.readouterr().out


def test_own_data_has_the_name_of_its_folder(command, script, monkeypatch):
    digits = script.load_data("digits")[0]

    def load_data(dataset, folder):
        assert (dataset, folder) == ("fashion_mnist", "data/of_$ours$")
        return digits, None

    figures = []
    monkeypatch.setattr(script, "load_data", load_data)
    monkeypatch.setattr(
        script, "save_figure", lambda figure, path: figures.append(figure)
    )
    command("--seeds", "1", data=("--data-dir", "data/of_$ours$"))
    assert figures[0].axes[0].get_title().startswith("Ours: of_$ours$, small")


def test_help(script, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr("sys.argv", [SCRIPT, "--help"])
    with pytest.raises(SystemExit):
        script.main()
    printed = capsys.readouterr().out
    for row in WEIGHTS:
        assert row in printed
    assert "(default: 5;" in printed


"""
## The page
"""


def published_runs(script):
    with (DOCS / "choosing" / "ablation_digits.csv").open(newline="") as file:
        return [script.parsed(line) for line in csv.DictReader(file)]


def test_the_page_has_the_numbers_of_its_file(script):
    runs = published_runs(script)
    page = (DOCS / "choosing.md").read_text(encoding="utf-8")
    runs = {(run.row, run.seed): run for run in runs}
    against = {
        reference: {
            one.row: f"{one.mean:+.2f} ± {one.standard_error:.2f}"
            for one in script.comparisons(runs, reference, 899)
        }
        for reference in ("vanilla", "SE")
    }
    del against["SE"]["vanilla"]
    for row, those in script.rows_with_runs(runs).items():
        accuracies = script.percent(those)
        cells = [
            row,
            f"{those[0].attention_parameters:,}",
            f"{those[0].parameters:,}",
            f"{accuracies.mean():.2f} ± {accuracies.std(ddof=1):.2f}",
            against["vanilla"].get(row, ""),
            against["SE"].get(row, ""),
        ]
        expected = f"| {' | '.join(cells)} |".replace("|  |", "| |")
        assert expected.replace("|  |", "| |") in page.splitlines()
        assert len(those) == len(runs) / len(script.ROWS)
        assert f"--quick --seeds {len(those)}\n" in page


def test_what_the_page_says_of_them(script):
    runs = published_runs(script)

    def standing_out(seeds, text):
        some = {(run.row, run.seed): run for run in runs if run.seed < seeds}
        return [
            line.partition(":")[0]
            for line in script.conclusions(some, 899)
            if text in line.partition(", ")[2]
        ]

    assert standing_out(10, "a difference.") == []
    assert standing_out(10, "may be chance") == ["- ECA", "- SE-GC-16"]
    assert standing_out(8, "a difference.") == ["- ECA"]

"""The experiments that draw one figure of what can be computed: each writes it, with its numbers, into a new folder."""

import importlib
import json

import pytest

from experiments.lab.commands.cli import BadInput


@pytest.mark.parametrize("name", ["gae", pytest.param("score_function", marks=pytest.mark.slow)])
def test_the_figure_and_its_numbers_are_written_into_a_new_folder(name, tmp_path, capsys):
    module = importlib.import_module(f"experiments.{name}")
    assert module.main(module.Args(out=tmp_path / "run")) == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["figures.json", f"{name}.png"]
    assert json.loads((tmp_path / "run" / "figures.json").read_text())
    with pytest.raises(BadInput, match="is not empty"):
        module.main(module.Args(out=tmp_path / "run"))


def test_more_samples_want_a_higher_lambda(tmp_path, capsys):
    from experiments.gae import Args, main

    main(Args(out=tmp_path / "run"))
    best = json.loads((tmp_path / "run" / "figures.json").read_text())["best_lambda"]
    assert [round(x, 2) for x in best.values()] == [0.51, 0.81, 0.94, 0.99]

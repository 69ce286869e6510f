"""What a run used, as BibTeX."""

import re
from pathlib import Path

import pytest

from experiments import cite
from experiments.compare import Args, experiment_of
from experiments.lab.definition.overrides import overridden
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.recording import citations
from experiments.lab.recording.manifest import describe

ROOT = Path(__file__).parents[2]


def keys(**options):
    args = Args(**options)
    entries, without = citations.of_run(describe(overridden(experiment_of(args), args)))
    return [re.match(r"@\w+\{(\w+),", entry)[1] for entry in entries], without


def test_every_algorithm_and_loss_has_its_paper_with_the_number_that_its_file_names():
    known = citations.references()
    files = {
        name: ROOT / "algos" / f"{module.__name__.rpartition('.')[2]}.py" for name, (module, _) in ALGORITHMS.items()
    }
    files |= {path.stem: path for path in (ROOT / "experiments" / "losses").glob("[!_]*.py")}
    for name, path in files.items():
        key = citations.SAME.get(name, name)
        assert key in known, name
        numbers = re.findall(r"arXiv (\d+\.\d+)", path.read_text().splitlines()[0])
        if numbers and name not in ("npg", "dqn"):
            assert f"eprint = {{{numbers[0]}}}" in known[key], name


def test_entries_are_whole():
    known = citations.references()
    assert len(known) == citations.FILE.read_text().count("\n@") + 1
    for key, text in known.items():
        assert text.count("{") == text.count("}") and "title = " in text and "year = " in text, key


def test_what_was_used_is_cited_and_nothing_else():
    always = [*citations.ALWAYS]
    found, without = keys(env=("CartPole-v1",), algos=("npg", "dqn"), set=("dqn.dueling=true", "dqn.double=false"))
    assert (found, without) == ([*always, "gymnax", "npg", "dqn", "dueling"], [])
    found, without = keys(env=("FrozenLake-4x4",), algos=("q_learning",))
    assert (found, without) == ([*always, "sutton"], [])
    found, _ = keys(env=("Breakout-MinAtar",), algos=("dqn", "experiments.losses.munchausen:munchausen"))
    assert found == [*always, "gymnax", "minatar", "dqn", "double", "munchausen"]


def test_learners_of_several_agents_are_cited_with_what_they_are_built_on():
    found, without = keys(env=("Kuhn",), algos=("neurd", "cfr", "entropy_annealed_ppo"))
    assert ({*found}, without) == ({*citations.ALWAYS, "ppo", "neurd", "entropy_annealed_ppo", "cfr"}, [])
    found, _ = keys(env=("Spread",), algos=("iql", "ia2c"))
    assert {*found} == {*citations.ALWAYS, "a2c", "dqn", "double", "iql"}
    for name in ("ippo", "mappo"):
        assert {*keys(env=("Spread",), algos=(name,))[0]} == {*citations.ALWAYS, "ppo", name}


def test_every_learner_of_several_agents_has_the_paper_whose_number_its_file_names():
    known, files = citations.references(), {"ippo": "mappo"}
    for name in ("ippo", "mappo", "vdn", "qmix", "mmd", "neurd", "entropy_annealed_ppo", "nfsp"):
        number = re.search(r"eprint = \{([\d.]+)\}", known[name]).group(1)
        assert number in (ROOT / "algos" / "agents" / f"{files.get(name, name)}.py").read_text(), name
        assert "others" not in known[name]  # of every author


def test_what_is_ones_own_is_named_as_having_no_paper():
    skeletons = ROOT / "docs" / "skeletons"
    found, without = keys(env=(f"{skeletons / 'my_env.py'}:line",), algos=("a2c", str(skeletons / "my_a2c.py")))
    assert (found, without) == ([*citations.ALWAYS, "a2c"], ["line", "my_a2c"])


def test_a_folder_that_is_no_run_is_one_line(tmp_path):
    with pytest.raises(cite.BadInput, match="is no run folder"):
        cite.cite(cite.Args(tmp_path))

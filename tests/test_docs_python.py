"""What docs/python.md says is true, and its notebook is that page, run."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import notebook
from experiments.compare import Args, compare
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.settings import AGENTS, ALGORITHMS, CONTROLS, PREDICTS, TEAMS
from experiments.lab.judging.verdicts import verdicts
from experiments.lab.running import conclusion

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "python.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
BOOK = json.loads((DOCS / "python.ipynb").read_text())
CELLS = [cell for cell in BOOK["cells"] if cell["cell_type"] == "code"]
SMALL = ("all.num_envs=2", "all.num_steps=8", "all.hidden_sizes=(4,)")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conclusion.plots, "draw_curves", lambda *_: None)
        patch.setattr(conclusion.page, "write", lambda *_: None)
        yield notebook.compare(
            "CartPole-v1", "a2c", seeds=2, steps=64, evaluations=1, eval_episodes=2, set=SMALL, margin=20,
            out=tmp_path_factory.mktemp("runs") / "run",
        )  # fmt: skip


def test_a_comparison_is_a_table_of_scores_a_table_of_seeds_curves_and_verdicts(found):
    summary = json.loads((found.folder / "summary.json").read_text())["environments"]["CartPole-v1"]
    figures = summary["algorithms"]["a2c"]
    row = found.scores.loc["CartPole-v1", "a2c"]
    assert (row.iqm, row.low, row.high, row["mean"]) == (figures["iqm"], *figures["ci95"], figures["mean"])
    assert list(found.finals["CartPole-v1", "a2c"]) == figures["final_values"] and list(found.finals.index) == [0, 1]
    assert found.verdicts == summary["verdicts"] and found.could_be_best == {"CartPole-v1": ["a2c"]}
    assert summary["margin"] == 20.0
    table = found.at_same_steps()
    assert table.iloc[-1].tolist() == figures["final_values"] and table.columns[0] == ("CartPole-v1", "a2c", 0)
    assert len(found.curves) == len(pd.read_csv(found.folder / "curves.csv"))


def test_a_policy_acts_plays_the_same_episode_under_one_seed_and_is_drawn(found, tmp_path):
    policy = found.policy("a2c", seed=1)
    assert (policy.algorithm, policy.seed, policy.env.name) == ("a2c", 1, "CartPole-v1")
    assert policy.act([0.0, 0.1, 0.02, -0.1]) in (0, 1)
    one, other = policy.play(seed=5), policy.play(seed=5, max_steps=3)
    assert one.ended and not other.ended and (one.rewards[:3] == other.rewards).all() and len(other.states) == 4
    path = policy.draw(tmp_path / "a.gif", max_frames=3)
    assert path.read_bytes().startswith(b"GIF")
    assert notebook.load(found.folder).seed == 0
    again = [policy.draw(max_frames=3) for _ in range(3)]  # as a cell that is run again
    assert len({*again}) == 3 and all(one.read_bytes().startswith(b"GIF") for one in again)
    with pytest.raises(BadInput, match="exists"):
        policy.draw(again[0], max_frames=3)


def test_what_a_policy_or_a_table_cannot_do_is_one_line(found):
    policy = found.policy("a2c")
    for wrong, said in (
        (lambda: policy.act([0.0, 0.1]), r"CartPole-v1 shows numbers of shape \(4,\), not \(2,\)"),
        (lambda: policy.act([[0.0, 0.1, 0.0, 0.0]]), r"of shape \(4,\), not \(1, 4\)"),
        (lambda: policy.act("left"), r"CartPole-v1 shows numbers of shape \(4,\): could not convert"),
        (lambda: policy.play(max_steps=0), "max_steps must be 1 or more, not 0"),
        (lambda: found.at_same_steps("evaluation_retur"), "no curves of evaluation_retur; it has: evaluation_return, "),
        (lambda: found.at_same_steps(points=0), "points must be 1 or more, not 0"),
    ):
        with pytest.raises(BadInput, match=said) as refused:
            wrong()
        assert "\n" not in str(refused.value)


def test_what_cannot_be_is_one_line_and_leaves_no_folder(tmp_path):
    for wrong, said in (
        ({"algos": "ppoo"}, "unknown algorithm 'ppoo'; did you mean ppo, ippo[?] choose from: "),
        (
            {"algos": "ppo", "seeds": -2},
            "seeds must be a positive whole number or a range of numbers from 0 on, not -2",
        ),
        ({"algos": "ppo", "seeds": range(-1, 2)}, "seeds must be a positive whole number or a range"),
        *(({"algos": "ppo", "seeds": wrong}, "seeds must be") for wrong in (range(0), 1.5, [0.5], True, "many")),
        ({"algos": "ppo", "stepz": 5}, "unexpected keyword argument 'stepz'"),
        ({"algos": "ppo", "steps": 1}, "steps must be"),
        ({"algos": "ppo", "margin": "wide"}, "--margin is a positive difference"),
    ):
        with pytest.raises(BadInput, match=said) as refused:
            notebook.compare("CartPole-v1", out=tmp_path / "run", **wrong)
        assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()
        assert refused.value._render_traceback_() == [f"error: {refused.value}"]  # which IPython asks for
    with pytest.raises(BadInput, match="there is no folder"):
        notebook.load(tmp_path / "none")
    with pytest.raises(BadInput, match="is not a folder; name the folder of a run"):
        notebook.read(tmp_path / "none")
    with pytest.raises(BadInput, match="seed must be a whole number of 0 or more, not '3'"):
        notebook.train("ppo", seed="3")


def test_every_function_and_property_is_listed():
    listed = {name for cell in re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE) for name in re.findall(r"`(\w+)", cell)}
    there = {name for name, x in vars(notebook).items() if inspect.isfunction(x) and x.__module__ == notebook.__name__}
    for part in (notebook.Found, notebook.Policy):
        there |= {name for name in vars(part) if not name.startswith("_")}
    there = {name for name in there if not name.startswith("_")}
    assert listed - {"folder", "env"} == there - {"folder", "env", "environment", "algorithm", "seed", "function"}


def test_every_option_of_the_command_is_one_of_compare():
    named = {"env", "algos", "out"} & set(inspect.signature(notebook.compare).parameters)
    assert named == {"env", "algos", "out"} and {"seeds", "set", "network"} <= {*Args.__dataclass_fields__}


def test_the_notebook_is_the_page_and_every_cell_was_run_without_an_error():
    sources = ["".join(cell["source"]) for cell in CELLS]
    assert sources == [code.strip() for code in CODE]
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    outputs = [output for cell in CELLS for output in cell["outputs"]]
    assert not [each for each in outputs if each["output_type"] == "error"]
    tables = [each["data"]["text/html"] for each in outputs if "text/html" in each.get("data", {})]
    assert any("iqm" in "".join(table) for table in tables)
    assert any("image/gif" in each.get("data", {}) for each in outputs)
    assert "/work" not in json.dumps(BOOK) and "/tmp" not in json.dumps(BOOK)


def shown(line):
    """Returns what the notebook shows of the cell that ends in this line."""
    (cell,) = [cell for cell in CELLS if "".join(cell["source"]).splitlines()[-1] == line]
    (result,) = [each for each in cell["outputs"] if each["output_type"] == "execute_result"]
    return "".join(result["data"]["text/plain"])


def test_the_notebooks_columns_and_verdicts_are_what_its_own_scores_have_today():
    assert re.findall(r"\b(iqm|low|high|mean|env_steps|run_seconds|steps_per_second)\b", shown("found.scores")) == [
        "iqm", "low", "high", *notebook.SCORES[1:]
    ]  # fmt: skip
    _, (_, *names), _, *rows = [line.split() for line in shown("found.finals").splitlines()]
    finals = np.array([row[1:] for row in rows], np.float64).T
    assert finals.shape == (2, 3) and ast.literal_eval(shown("found.verdicts")) == verdicts(names, finals)


@pytest.mark.slow
def test_the_cells_run_one_after_another_in_one_process(tmp_path):
    script = "import sys\nsys.ps1 = '>>> '\n" + "\n".join("".join(cell["source"]) for cell in CELLS)
    script = script.replace("from IPython.display import Image", "Image = str")
    environment = {"PYTHONPATH": str(DOCS.parent)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env={**__import__("os").environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (first, second) = sorted((tmp_path / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    assert list(first.glob("*.gif")) and not list(second.glob("*.gif"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("envs",), r"(?s)gymnax: CartPole-v1.*finite models: FrozenLake-4x4.*jumanji: .*FILE.py:FUNCTION"),
        (("algos",), r"(?s)  ppo  +Proximal policy optimisation.*  q_learning +Q-learning.*FILE.py"),
        (("fields", "ppo"), r"(?s)--set ppo.FIELD.* gamma  +0.99.*max_grad_norm +0.5 +# 0.0: no clipping.*num_envs +4"),
        (
            ("fields", str(DOCS / "skeletons" / "my_a2c.py")),
            r"(?s)--set my_a2c.FIELD.* num_passes +2 +# gradient steps on",
        ),
        (("fields", f"{DOCS / 'skeletons' / 'my_env.py'}:line"), r"(?s)FIELD=VALUE.*  size +8\n  slip +0.0"),
        (
            ("fields", f"{DOCS / 'skeletons' / 'my_net.py'}:wide"),
            r"(?s)--network '.*:wide\(FIELD=VALUE\)':\n  size +128\n$",
        ),
        (("fields", "Pendulum-v1"), r"(?s)  max_steps_in_episode +200\n.*  g +10.0"),
    ],
)
def test_what_there_is_is_listed(words, said, capsys):
    assert compare(Args(list=words)) == 0
    assert re.search(said, capsys.readouterr().out)


def test_every_algorithm_is_listed_and_has_its_fields_listed(capsys):
    assert compare(Args(list=("algos",))) == 0
    listed = re.findall(r"^  (\w+) +\S", capsys.readouterr().out, re.MULTILINE)
    assert sorted(listed) == sorted([*ALGORITHMS, *AGENTS, *TEAMS, *CONTROLS, *PREDICTS])
    assert compare(Args(list=("fields", *listed))) == 0
    told = capsys.readouterr().out
    assert all(f"--set {name}.FIELD" in told for name in listed)


@pytest.mark.parametrize("words", [("algo",), ("fields",), ("envs", "ppo"), ("fields", "ppoo")])
def test_another_word_to_list_is_one_line(words):
    with pytest.raises(BadInput) as refused:
        compare(Args(list=words))
    assert "--list" in str(refused.value) and "\n" not in str(refused.value)

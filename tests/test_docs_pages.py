"""What holds for every page: links lead somewhere, commands parse, every name is there, and algorithms' pages are right."""

import ast
import functools
import importlib
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
import tyro
import yaml
from mkdocs.commands import build
from mkdocs.config import load_config

import envs
from experiments import losses as gallery
from experiments.lab.commands.options import Options
from experiments.lab.definition.settings import AGENTS, ALGORITHMS, CONTROLS, PREDICTS, TEAMS
from experiments.lab.outside.user_loss import is_reference, load_loss
from experiments.lab.running import runner
from experiments.lab.showing.meanings import MEANINGS
from experiments.rlhf.settings import METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
PAGES |= {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")}
PAGES["experiments/benchmarks/README.md"] = (ROOT / "experiments" / "benchmarks" / "README.md").read_text()
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OWN = {path.stem: path.read_text() for path in (DOCS / "algorithms").glob("*.md")}
INTERNAL = {
    "episode_count",
    "episode_return_sum",
    "episode_length_sum",
    "fault_count",
}  # the runner makes others of them


def without_code(text):
    return FENCE.sub("", text)


def anchors(text):
    """Returns the anchors of a page's headings, as GitHub and mkdocs make them."""
    titles = re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(name):
    place = (ROOT / name).parent
    for target in LINK.findall(without_code(PAGES[name])):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        reached = (place / file).resolve() if file else ROOT / name
        assert reached.exists(), target
        if anchor:
            assert anchor in anchors(reached.read_text()), target


def test_every_page_is_linked_from_the_index_and_has_its_place_in_the_site():
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(PAGES["docs/index.md"])}
    site = (ROOT / "mkdocs.yml").read_text()
    for name in PAGES:
        if name.startswith("docs/") and name != "docs/index.md":
            assert (ROOT / name).resolve() in linked, name
            assert f" {name.removeprefix('docs/')}\n" in site, name


def test_the_site_builds_without_a_warning_and_its_pages_fetch_nothing(tmp_path):
    build.build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))  # a warning is an error
    for page in tmp_path.rglob("*.html"):
        assert not re.search(r'<(?:script|img|link)[^>]*(?:src|href)="https?:', page.read_text()), page
    text = (tmp_path / "algorithms" / "ppo.html").read_text()
    assert 'href="../readme.html#results"' in text and "<code>algos/ppo.py</code>" in text


def commands(text):
    """Returns the commands that a page gives, in code blocks and within lines, as (module, words)."""
    lines = "\n".join(code for language, code in FENCE.findall(text) if not language).splitlines()
    found = [line.partition(" -m ")[2] for line in lines if line.startswith("python -m experiments.")]
    found += re.findall(r"`(?:python -m )?(experiments\.[\w.]+\s[^`]+)`", without_code(text))
    found += [f"experiments.compare {words}" for words in re.findall(r"`(--[^`]*--algos\s[^`]+)`", without_code(text))]
    return [shlex.split(command) for command in dict.fromkeys(found)]


TYPED = [(name, *words) for name, text in PAGES.items() for words in commands(text)]


@pytest.mark.parametrize("typed", TYPED, ids=lambda typed: f"{typed[0]}: {' '.join(typed[1:])[:80]}")
def test_every_command_parses(typed):
    _, module, *words = typed
    if importlib.util.find_spec(module).submodule_search_locations:
        module += ".__main__"
    command = importlib.import_module(module)
    if module == "experiments.rlhf.__main__":
        command = importlib.import_module("experiments.rlhf.command")
    arguments = getattr(command, "Args", Options if hasattr(command, "experiment") else None)
    if arguments is None:
        tyro.cli(functools.wraps(command.main)(lambda *_, **__: None), args=words)  # the same options, nothing run
        return
    parsed = tyro.cli(arguments, args=words)
    if module == "experiments.compare":
        known = {*ALGORITHMS, *AGENTS, *TEAMS, *CONTROLS, *PREDICTS}
        assert {name for name in parsed.algos if not is_reference(name)} <= known
        assert {name.partition("(")[0] for name in parsed.env if "/" not in name and ".py:" not in name} <= {
            *envs.ids()
        }


def defined(path, dotted):
    """Returns whether a file defines a function or class of that name, nested ones as OUTER.INNER."""
    body = ast.parse(path.read_text()).body
    for name in dotted.split("."):
        body = next((node.body for node in body if getattr(node, "name", None) == name), None)
        if body is None:
            return False
    return True


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_line_of_an_algorithms_pseudocode_lives_where_its_page_says(name):
    text = OWN[name]
    numbers = re.findall(
        r"^ +(\d+)  ", text[text.index("## Pseudocode") : text.index("| line | where |")], re.MULTILINE
    )
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
    assert numbers == [number for number, _ in rows] == [str(n + 1) for n in range(len(rows))]
    for _, cell in rows:
        places = re.findall(r"`(\S+?\.py):([\w.]+)`", cell)
        assert places and all(defined(ROOT / file, function) for file, function in places), cell


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithms_page_has_every_part_and_names_its_paper(name):
    headings = ["Equation", "Pseudocode", "Metrics", "Failure modes", "Results"]
    assert [title for title in re.findall(r"^## (.*)$", OWN[name], re.MULTILINE) if title in headings] == headings
    assert re.search(r"^Paper: .*\d{4}", OWN[name], re.MULTILINE) and f"](../../{file_of(name)})" in OWN[name]
    for number in re.findall(r"arXiv (\d+\.\d+)", (ROOT / file_of(name)).read_text().split('"""')[1]):
        assert number in OWN[name] or name == "npg"


def file_of(name):
    return ALGORITHMS[name][0].__name__.replace(".", "/") + ".py"


@functools.cache
def recorded(name):
    """Returns the names of the metrics that an algorithm's step gives, without computing any."""
    module, made = (ALGORITHMS | CONTROLS | PREDICTS)[name]
    env = envs.make("CartPole-v1", max_steps_in_episode=5) if name in ALGORITHMS else envs.make("FrozenLake-4x4")
    algorithm, hparams = module.make(env, module.Config(**made)), module.HParams()
    state = jax.eval_shape(algorithm.init, jax.random.key(0), hparams)
    return set(jax.eval_shape(algorithm.step, state, hparams)[1]) - INTERNAL


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithms_page_lists_the_metrics_that_it_records_and_no_other(name):
    part = OWN[name].partition("## Metrics")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == recorded(name)


def test_every_metric_of_the_lab_and_its_algorithms_has_a_meaning():
    names = set().union(*map(recorded, (*ALGORITHMS, "q_learning", "td", "lstd")))
    sums = {name: np.ones(1) for name in INTERNAL - {"fault_count"}}
    rows = [*runner.metric_rows([0], 1, {"evaluation_return": np.ones(1)}, sums, 1), *runner.fault_rows([0], 1, [1])]
    names |= {name for _, _, name, _ in rows}
    assert names <= MEANINGS.keys(), names - MEANINGS.keys()


@pytest.mark.slow
def test_every_metric_of_every_method_of_tables_and_features_has_a_meaning():
    assert set().union(*map(recorded, (*CONTROLS, *PREDICTS))) <= MEANINGS.keys()


def written_metrics(path):
    """Returns the names that dictionaries written out in the file have."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict):
            names |= {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return names


def test_every_metric_of_language_methods_judges_and_losses_from_papers_has_a_meaning():
    files = [
        ROOT / "algos" / "rlhf" / f"{name}.py" for name in ("experience", "policy_optimisation", "preference", "kl")
    ]
    files += [Path(module.__file__) for module, _, _ in METHODS.values()]
    files += [path for path in Path(gallery.__file__).parent.glob("[!_]*.py")]
    names = set().union(*map(written_metrics, files)) - INTERNAL - {"k1", "k2", "k3"}
    judges = (ROOT / "experiments" / "lab" / "judging" / "judges.py").read_text()
    names |= set(re.findall(r'"(\w+)": (?:earned|float|jnp|jnp\.sqrt)', judges))
    assert names <= MEANINGS.keys(), names - MEANINGS.keys()


def test_the_page_of_metrics_has_every_metric_with_the_meaning_that_the_report_shows():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGES["docs/metrics.md"], re.MULTILINE)
    assert len(rows) == len(MEANINGS)
    assert {name: meaning.replace("\\|", "|") for name, meaning in rows} == MEANINGS


RETURNS = {
    "CartPole-v1": {"ppo": (100.0, 200.0, 300.0), "a2c": (90.0, 110.0, 120.0)},
    "Acrobot-v1": {"ppo": (10.0, 20.0, 30.0), "a2c": (30.0, 40.0, 50.0)},
}


@pytest.fixture
def my_run(tmp_path, monkeypatch):
    """A run of two contenders on two environments, in the folder that the pages name."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "experiments"))
    importlib.import_module("test_report").make_folder(tmp_path / "my_run", RETURNS)
    monkeypatch.chdir(tmp_path)


def codes_of(name):
    return [code for language, code in FENCE.findall(PAGES[f"docs/{name}.md"]) if language == "python"]


def test_code_on_the_pages_about_results_runs(my_run):
    found = {}
    pivoted, same_steps, _ = codes_of("metrics")
    exec(pivoted, found)
    # two environments have the same names of contenders, and pivot_table takes the mean
    assert found["table"].loc[1000].to_numpy().tolist() == [60.0, 75.0, 85.0, 55.0, 110.0, 165.0]
    exec(same_steps, found)
    assert found["table"]["CartPole-v1", "ppo"].loc[1000.0].tolist() == [100.0, 200.0, 300.0]
    for code in codes_of("settings"):
        exec(code, found)


def test_the_recipe_for_rliable_gives_runs_by_tasks_and_runs_by_tasks_by_points(my_run):
    code, _, rest = codes_of("metrics")[-1].partition("from rliable")
    found = {}
    exec(code, found)
    # before training all are at 0; the best final mean is 200 on CartPole and 40 on Acrobot
    assert found["tasks"] == ["Acrobot-v1", "CartPole-v1"]
    expected = {"ppo": [[0.25, 0.5], [0.5, 1.0], [0.75, 1.5]], "a2c": [[0.75, 0.45], [1.0, 0.55], [1.25, 0.6]]}
    assert {name: np.round(x, 9).tolist() for name, x in found["scores"].items()} == expected
    assert {name: x.shape for name, x in found["frames"].items()} == {"ppo": (3, 2, 3), "a2c": (3, 2, 3)}
    for name, x in found["frames"].items():
        assert np.allclose(x[:, :, -1], expected[name]) and np.allclose(x[:, :, 1], np.array(expected[name]) / 2.0)
    if importlib.util.find_spec("rliable"):
        exec(f"from rliable{rest}", found)
        assert found["iqms"].keys() == found["iqm_curves"].keys() == expected.keys()


def test_the_software_is_cited_alike_on_its_page_and_in_its_file():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    shown = dict(re.findall(r"^  (\w+) = \{+(.*?)\}+,?$", PAGES["docs/cite.md"], re.MULTILINE))
    (author,) = cited["authors"]
    wanted = {"title": cited["title"], "author": author["name"], **{key: cited[key] for key in ("version", "license")}}
    assert shown == wanted | {"year": shown["year"]}


def reference():
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_has_a_docstring_and_its_line_in_the_reference():
    made = reference()
    for path in made.modules():
        undocumented = [node.name for node in made.public(path) if not ast.get_docstring(node)]
        assert not undocumented, f"{path}: {undocumented}"
    assert PAGES["docs/reference.md"] == made.page(), "it is old: python docs/make_reference.py"


def test_every_public_name_of_the_experiments_has_a_docstring():
    made, rooms = reference(), (ROOT / "experiments").rglob("*.py")
    lacking = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in rooms
        if "benchmarks" not in path.parts
        for node in made.public(path)
        if not ast.get_docstring(node)
    ]
    assert not lacking


def test_every_algorithm_method_environment_and_loss_is_named_on_a_page():
    text = "\n".join(text for name, text in PAGES.items() if name != "docs/reference.md")
    names = [*ALGORITHMS, *CONTROLS, *PREDICTS, *METHODS, *envs.mdp.problems.IDS]
    names += [path.stem for path in Path(gallery.__file__).parent.glob("[!_]*.py")]
    assert not [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)]


def test_the_losses_that_the_pages_name_are_there():
    for name in set(re.findall(r"`(experiments\.losses\.\w+:\w+)`", "\n".join(PAGES.values()))):
        assert load_loss(name)

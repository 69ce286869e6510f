"""What no file of the code may do, read in its source: each would be noticed on another's machine alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = [path for room in ("envs", "algos", "experiments") for path in sorted((ROOT / room).rglob("*.py"))]


def nodes(kind):
    """Yields (FILE:LINE, node) of every node of the kind."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, kind):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_no_picture_is_made_with_pyplot_and_no_backend_is_chosen():
    imported = [
        (where, name.name if isinstance(node, ast.Import) else f"{node.module}.{name.name}")
        for where, node in nodes((ast.Import, ast.ImportFrom))
        for name in node.names
    ]
    assert [where for where, name in imported if name.startswith(("matplotlib.pyplot", "pylab"))] == []
    called = [(where, ast.unparse(node.func)) for where, node in nodes(ast.Call)]
    assert [where for where, name in called if name in ("matplotlib.use", "plt.switch_backend")] == []


def test_drawing_leaves_the_users_backend_as_it_is(tmp_path):
    rows = "".join(f"CartPole-v1,ppo,{seed},{steps},evaluation_return,{seed + steps}\n" for seed in (0, 1) for steps in (0, 9))  # fmt: skip
    (tmp_path / "curves.csv").write_text("environment,algorithm,seed,env_steps,metric,value\n" + rows)
    program = (
        "import pathlib, sys, matplotlib; matplotlib.use('svg');"
        "from experiments.lab.judging import criterion; from experiments.lab.running import launch; from experiments.lab.showing import plots;"
        f"plots.draw_curves(pathlib.Path({str(tmp_path)!r}), {{'CartPole-v1': criterion.Criterion()}});"
        "print(matplotlib.get_backend(), 'matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["svg", "False"], run.stderr
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_every_text_file_is_opened_as_utf_8():
    """/proc aside, which is ASCII."""
    careless = []
    for where, call in nodes(ast.Call):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        words = {word.arg: word.value for word in call.keywords}
        modes = [ast.unparse(value) for value in (*call.args[:2], *words.values())]
        opens_text = name in ("read_text", "write_text", "open", "fdopen", "NamedTemporaryFile", "TemporaryFile")
        binary = any(re.fullmatch(r"'[rwax+]*b[+]?'", mode) for mode in modes)
        other = ast.unparse(call.func).startswith(("os.open", "Image.open", "webbrowser."))
        if opens_text and not (binary or other or "encoding" in words or "/proc/" in ast.unparse(call)):
            careless.append(where)
        if ast.unparse(words.get("text", call)) == "True":  # of a process: as the locale has it
            careless.append(where)
    assert careless == []


def test_only_the_module_of_signals_sets_a_handler():
    """It knows what to do in threads and notebooks."""
    set_here = [
        where for where, call in nodes(ast.Call) if ast.unparse(call.func) in ("signal.signal", "signal.sigaction")
    ]
    assert {where.partition(":")[0] for where in set_here} == {"experiments/lab/commands/signals.py"}


def test_every_character_of_the_screen_is_ascii():
    for name in ("showing/screen", "showing/plan", "running/conclusion", "running/launch", "judging/verdicts"):
        assert (ROOT / "experiments" / "lab" / f"{name}.py").read_bytes().isascii(), name

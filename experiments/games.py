"""How near does a method come to an equilibrium of a game that is known, and how fast?

    python -m experiments.games
    python -m experiments.games --game leduc --methods cfr cfr_plus --iterations 2000
    python -m experiments.games --game kuhn --set players=3
    python -m experiments.games --game rock_paper_scissors --methods regret_matching fictitious_play
    python -m experiments.games --game my_games.py:my_game
    python -m experiments.games --game my_game.json

NashConv, what the players together could gain by leaving the policy one at a time, is exact after every printed number of iterations:
of the policy that is played and of the average. docs/games.md explains.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

from experiments.lab.commands.cli import BadInput, count, each_once, run_command, said, typed
from experiments.lab.machine import devices

ON_TREES = ("cfr", "cfr_plus", "fictitious_play")
NORMAL_FORM = ("regret_matching", "regret_matching_plus", "natural_gradient", "policy_gradient", "lenient_gradient")
POINTS_A_DECADE, STEPS_OF_PATH = 8, 500


@dataclass(frozen=True)
class Args:
    """Look for an equilibrium of a known game and show how far each method is from one, exactly.

    For example:
      python -m experiments.games --game leduc --methods cfr cfr_plus
    """

    game: str = "kuhn"
    """kuhn, leduc, liars_dice, rock_paper_scissors, matching_pennies, prisoners_dilemma, stag_hunt, climbing, penalty.
    Or a JSON file, or FILE.py:FUNCTION that returns a GameTree or a MatrixGame."""
    set: Annotated[tuple[str, ...], said("none")] = ()
    """Fields of a built-in game: players=3 (kuhn), dice=1 sides=4 (liars_dice), k=-25 (penalty)..."""
    methods: tuple[str, ...] = ("cfr", "cfr_plus", "fictitious_play")
    """cfr, cfr_plus, fictitious_play; for games in normal form also regret_matching, regret_matching_plus.
    And there the flows of natural_gradient and policy_gradient, an iteration of which is 0.05 of time.
    And where all are paid the same lenient_gradient."""
    iterations: count("--iterations", most=10**9) = 1000
    """How many iterations of each method."""
    out: Annotated[Path | None, said("runs/<time>-games-<game>", "DIR")] = None
    """The folder for games.png and figures.json; must be new or empty."""


def games(args: Args) -> int:
    """Runs the methods, prints the table, draws the picture and returns the exit status. Raises BadInput."""
    devices.start()
    import jax
    from rich.console import Console

    from experiments.lab.recording import records
    from experiments.lab.recording.files import write_json
    from experiments.lab.showing.drawing import equilibria

    check(args)
    game = game_of(args)
    folder, console = records.create_for(["games", Path(args.game).stem], args.out), Console()
    with jax.enable_x64(True):
        figures = found(game, args, console)
    write_json(folder / "figures.json", figures)
    equilibria.draw(figures, folder / "games.png")
    console.print(table(figures), highlight=False)
    print("files:", *sorted(map(str, folder.iterdir())), sep="\n  ")
    return 0


def check(args: Args) -> None:
    """Raises BadInput for a method that there is not, and for one named twice."""
    each_once("each method", args.methods)
    unknown = [name for name in args.methods if name not in (*ON_TREES, *NORMAL_FORM)]
    if unknown:
        raise BadInput(f"unknown method {unknown[0]!r}; choose from: {', '.join((*ON_TREES, *NORMAL_FORM))}")


def game_of(args: Args):
    """Returns the game that the arguments name, a GameTree or a MatrixGame. Raises BadInput."""
    from envs.games import GameTree, MatrixGame, named

    try:
        if args.game in named.NAMES:
            game = named.make(args.game, **fields(args.set))
        elif args.set:
            raise ValueError(f"--set is for built-in games: {', '.join(named.NAMES)}")
        elif args.game.endswith(".json"):
            game = named.from_file(args.game)
        elif ":" in args.game:
            game = own_game(args.game)
        else:
            raise ValueError(
                f"unknown game {args.game!r}; choose from: {', '.join(named.NAMES)}, FILE.json, FILE.py:FUNCTION"
            )
    except ValueError as error:
        raise BadInput(error) from None
    if not isinstance(game, (GameTree, MatrixGame)):
        raise BadInput(f"{args.game} returns a {type(game).__name__}, not a GameTree or a MatrixGame")
    same = not isinstance(game, GameTree) and all((game.payoff[0] == one).all() for one in game.payoff)
    if "lenient_gradient" in args.methods and not same:
        raise BadInput("lenient_gradient is for games in normal form in which all are paid the same")
    elsewhere = [name for name in args.methods if name in NORMAL_FORM]
    if isinstance(game, GameTree) and elsewhere:
        raise BadInput(f"{elsewhere[0]} is for games in normal form; on a tree: {', '.join(ON_TREES)}")
    return game


def own_game(reference: str):
    """Returns what the user's function, FILE.py:FUNCTION, returns. Raises ValueError, in one line, where it cannot be called."""
    from experiments.lab.outside import user_env, user_files, user_loss
    from experiments.lab.outside.loss_errors import raised_at, reason

    function = user_files.load(reference)
    user_loss.check_function(function, reference)
    path, line = user_loss.source(function)
    if not user_env.takes_nothing(function):
        raise ValueError(f"{path}:{line}: {function.__name__} must make a game without arguments")
    try:
        return function()
    except Exception as error:
        where = raised_at(error, [path, *user_files.neighbours(path)])
        raise ValueError(f"{where or f'{path}:{line}'}: {reason(error)}") from None


def fields(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Returns {name: number} of "name=number" words. Raises ValueError."""
    given = {}
    for pair in pairs:
        name, equals, number = pair.partition("=")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise ValueError(f"--set takes NAME=NUMBER, not {pair}")
        given[name] = int(value) if value.is_integer() else value
    return given


def found(game, args: Args, console) -> dict[str, Any]:
    """Returns all figures: sizes of the game, the course of each method, and where it ended."""
    from algos.core import sequences
    from envs.games import GameTree, as_tree

    matrix, tree = (None, game) if isinstance(game, GameTree) else (game, as_tree(game))
    form = sequences.tables(tree)
    figures: dict[str, Any] = {
        "game": Path(args.game).stem if args.game.endswith(".json") else args.game,
        "players": tree.num_players,
        "histories": tree.num_histories,
        "information_sets": tree.num_info_sets,
        "actions": list(tree.action_names),
        "names": [[int(player), name] for player, name in zip(tree.mover, tree.names)],
        "methods": {},
    }
    for name in args.methods:
        one = course(solver_of(name, form, matrix), form, args.iterations, with_path=matrix is not None)
        figures["methods"][name] = one
        console.print(
            f"{name}: {args.iterations:,} iterations, {one['iterations_per_second']:,.0f}/s, "
            f"NashConv of the average {one['average'][-1]:.6f}", highlight=False
        )  # fmt: skip
    return figures


def solver_of(name: str, form, matrix):
    """Returns the method. In normal form regrets, logits or counts begin at 1 for one action of each player, for many such games
    have a uniform equilibrium, where nothing would move."""
    import numpy as np

    from algos.agents import cfr, fictitious_play, gradient_flow, lenient_gradient, regret_matching

    start = None
    if matrix is not None:
        sizes = matrix.payoff.shape[1:]
        start = np.eye(max(sizes))[[player % size for player, size in enumerate(sizes)]]
    makers = {
        "cfr": lambda: cfr.make(form, cfr.Config(), start),
        "cfr_plus": lambda: cfr.make(form, cfr.PLUS, start),
        "fictitious_play": lambda: fictitious_play.make(form, start),
        "regret_matching": lambda: regret_matching.make(matrix, regret_matching.Config(), start),
        "regret_matching_plus": lambda: regret_matching.make(matrix, regret_matching.Config(plus=True), start),
        "natural_gradient": lambda: gradient_flow.make(matrix, gradient_flow.Config(), start),
        "policy_gradient": lambda: gradient_flow.make(matrix, gradient_flow.Config(natural=False), start),
        "lenient_gradient": lambda: lenient_gradient.make(matrix, lenient_gradient.Config(), start),
    }
    return makers[name]()


def course(solver, form, iterations: int, with_path: bool) -> dict[str, Any]:
    """Returns NashConv and values at some iterations, evenly spaced in their logarithm, the policy in the end, the speed, and in
    normal form every policy of the first iterations."""
    import jax
    import numpy as np

    from algos.agents import exact

    advance = jax.jit(lambda state, n: jax.lax.fori_loop(0, n, lambda _, state: solver.step(state), state))
    look = jax.jit(lambda state: measures(form, solver, state))

    def measures(form, solver, state):
        current, average = solver.current(state), solver.average(state)
        gaps = exact.nash_conv(form, current), exact.nash_conv(form, average)
        return *gaps, exact.value(form, average), average

    state, done, seconds, rows = jax.jit(solver.init)(), 0, 0.0, []
    jax.block_until_ready((advance(state, 1), look(state)))  # compiled before the clock runs
    for point in points(iterations):
        began = time.perf_counter()
        state = jax.block_until_ready(advance(state, point - done))
        seconds, done = seconds + time.perf_counter() - began, point
        rows.append((point, *map(np.asarray, look(state))))
    at, current, average, value, policy = zip(*rows)
    result = {
        "iterations": list(at), "current": np.array(current).tolist(), "average": np.array(average).tolist(),
        "value": np.array(value).tolist(), "policy": policy[-1].tolist(), "iterations_per_second": iterations / seconds,
    }  # fmt: skip
    if with_path:
        result["path"] = path(solver, min(iterations, STEPS_OF_PATH))
    return result


def path(solver, steps: int) -> dict[str, Any]:
    """Returns the policies played and their averages after each of the first steps, [steps, N, A] each."""
    import jax
    import numpy as np

    def one(state, _):
        state = solver.step(state)
        return state, (solver.current(state), solver.average(state))

    _, (current, average) = jax.jit(lambda: jax.lax.scan(one, solver.init(), length=steps))()
    return {"current": np.asarray(current).tolist(), "average": np.asarray(average).tolist()}


def points(iterations: int) -> list[int]:
    """Returns the iterations at which one looks: eight a decade, powers of ten and the last one among them."""
    import numpy as np

    decades = np.arange(0.0, np.log10(iterations) + 1e-9, 1.0 / POINTS_A_DECADE)
    return sorted({*np.round(10.0**decades).astype(int).tolist(), iterations})


def table(figures: dict[str, Any]):
    """Returns a table for the screen: NashConv of the average after powers of ten, of the policy played in the end, and what the
    average earns the first player."""
    from rich import box
    from rich.table import Table

    title = f"{figures['game']}: {figures['histories']:,} histories, {figures['information_sets']:,} information sets"
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{title}; NashConv", title_justify="left")
    iterations = next(iter(figures["methods"].values()))["iterations"]
    last = len(iterations) - 1
    at = [place for place, n in enumerate(iterations[:-1]) if str(n).strip("0") == "1"][-3:] + [last]
    headings = ["method", *(f"{iterations[place]:,}" for place in at), "played", "value"]
    for heading in headings:
        shown.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    for name, one in figures["methods"].items():
        numbers = [*(one["average"][place] for place in at), one["current"][-1], one["value"][-1][0]]
        shown.add_row(name, *(f"{number:.5f}" for number in numbers))
    return shown


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, games, typed("games"))


if __name__ == "__main__":
    main()

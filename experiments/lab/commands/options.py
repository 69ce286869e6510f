"""The options that every command which runs an experiment takes. Imports no jax: --help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.lab.commands.cli import count


@dataclass(frozen=True)
class Options:
    """What may be changed from the command line. What is left out stays as the experiment has it."""

    seeds: count("--seeds", most=1_000_000) | None = None
    """How many seeds: 0 to N - 1."""
    steps: count("--steps") | None = None
    """Environment steps each algorithm may take under each seed."""
    only: tuple[str, ...] = ()
    """Run these contenders alone."""
    set: tuple[str, ...] = ()
    """Settings, as CONTENDER.FIELD=VALUE (ppo.learning_rate=1e-3); `all` stands for every contender that has the field."""
    sweep: tuple[str, ...] = ()
    """Settings to sweep, as CONTENDER.FIELD=A,B,C for a grid or "CONTENDER.FIELD=LOW..HIGH*N" for N log-uniform draws
    (in quotes: shells read *). Several of one contender are combined: grids with all else, draws into N points together.
    The best point of each sweep is run again under fresh seeds, in the folder `best` of the run folder."""
    out: Path | None = None
    """The run folder; must be new or empty. Default: runs/<time>-<environments>."""
    resume: Path | None = None
    """Go on with the run in this folder. Takes no other option but --trust: its settings are in its manifest."""
    trust: bool = False
    """With --resume: run the code that the folder keeps, though another user or another machine made it."""
    evaluations: count("--evaluations") | None = None
    """How often each seed is evaluated, evenly spaced."""
    eval_episodes: count("--eval-episodes") | None = None
    """Whole episodes with the greedy policy at each evaluation."""
    width: count("--width") | None = None
    """Trials vmapped into one block. Part of what decides a seed's bits. Default: 1 on CPU, 32 on an accelerator."""
    trials: Literal["map", "vmap"] | None = None
    """map: blocks of one trial, whose bits depend on nothing beside it; vmap: blocks of 5 on CPU, of 32 on an accelerator,
    however many seeds there are."""
    judge: str | None = None
    """What ranks the contenders: evaluation_return (of whole episodes with the greedy policy), exact_return (computed, for
    finite models; gamma 0.99), nash_conv (computed, for games that are known), value_rms (of methods that predict; gamma 1), or
    FILE.py:FUNCTION of your own that returns a Judge. Default: the experiment's own."""
    tensorboard: bool = False
    """Write TensorBoard event files too, in DIR/tensorboard: a run a seed, and their mean (needs: pip install tensorboardX)."""

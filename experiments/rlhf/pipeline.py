"""The stages in their order, and the optimisation as one experiment of the lab."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
from filelock import FileLock, Timeout

from experiments.lab.commands.cli import BadInput
from experiments.lab.commands.command import margins
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.overrides import overridden
from experiments.lab.machine import devices
from experiments.lab.recording import checkpoints
from experiments.lab.recording.run_folder import OPTIMISATION
from experiments.lab.running.launch import launch, prepared, resume, to_resume
from experiments.rlhf import conclusion, corpus, smollm2, task, user_reward, vader
from experiments.rlhf.settings import Sizes, contender
from experiments.rlhf.stages import comparisons, judges, pretrained, reward_model, supervised
from experiments.rlhf.stages.stage import Finished, Interrupted

STAGES = "stages"


class Stages(NamedTuple):
    """What the policies are optimised from."""

    judges: Finished
    supervised: Finished
    comparisons: Finished
    reward_model: Finished | None  # None: the user's own reward stands in its place
    smollm2: Finished | None = None  # what a pretrained model makes of the texts


def checked(args: Any, sizes: Sizes, begun: bool) -> corpus.Corpus:
    """Returns the texts of a run. Raises BadInput, before anything trains, for what cannot be. begun: whether the
    optimisation is, whose folder keeps the user's reward."""
    try:
        texts = corpus.read(sizes, args.data, args.texts, args.preferences)
        if args.reward and not begun:
            user_reward.checked(args.reward)
        for name in filter(None, (args.model, args.policy)):
            smollm2.required(name)
        if args.vader:
            vader.scores(["a good film."])
        chosen = overridden(experiment(args, sizes, None), args)  # refuses settings that there are not
        margins(args.margin, chosen)
        require_sizes(chosen, sizes, texts, bool(args.preferences))
    except ValueError as error:
        raise BadInput(error) from None
    return texts


def require_sizes(chosen: Experiment, sizes: Sizes, texts: corpus.Corpus, of_preferences: bool) -> None:
    """Raises ValueError for settings that would fail, or compare what cannot be compared, when stages are long made."""
    least = 2 * supervised.JUDGED
    if of_preferences and sizes.reference_answers < least:
        raise ValueError(f"--size reference_answers={sizes.reference_answers}: {least} or more, for several prompts")
    pairs = min(len(texts.split.train) // 2, sizes.pairs, sizes.preferences)
    for one in (one for each in chosen.tasks for one in each.contenders):
        temperature, batch = getattr(one.hparams, "temperature", 1.0), getattr(one.config, "batch_size", 0)
        if temperature != 1.0:
            raise ValueError(
                f"{one.name}: temperature={temperature}: the reference's answers are drawn at temperature 1"
            )
        if of_preferences and batch > pairs:
            raise ValueError(f"{one.name}: batch_size={batch} is more than the {pairs} preferences of the train part")


def run(args: Any, out: Path, sizes: Sizes, texts: corpus.Corpus, go_on: str) -> int:
    """Runs what is not finished yet and returns the exit status. Raises BadInput."""
    devices.start(args.portable)
    try:
        made = make_stages(args.stages or out / STAGES, texts, sizes, args.reward is None, args.model, args.policy)
        status = optimise(args, out / OPTIMISATION, sizes, made)
        conclusion.write(out, out / OPTIMISATION, made, interrupted=bool(status))
        return status
    except Interrupted as stopped:
        print(f"interrupted: what is done is kept; {go_on}", flush=True)
        return 128 + stopped.signal_number
    except jax.errors.JaxRuntimeError as error:
        if args.reward is None:
            raise
        raise BadInput(f"{args.reward}: {user_reward.failure(error)}") from None
    except ValueError as error:
        raise BadInput(error) from None


def make_stages(
    folder: Path,
    texts: corpus.Corpus,
    sizes: Sizes,
    learns_reward: bool,
    model: str | None = None,
    policy: str | None = None,
) -> Stages:
    """Returns the stages, those that are finished as they are. model: the pretrained one that judges; policy: the one that
    policies begin as. Raises BadInput, Interrupted."""
    judged = judges.stage(folder / "judges", texts, sizes)
    reference = supervised.stage(folder / "supervised", texts, sizes, policy)
    compared = comparisons.stage(folder / "comparisons", texts, sizes, reference)
    reward = reward_model.stage(folder / "reward_model", texts, sizes, reference, compared) if learns_reward else None
    read = pretrained.stage(folder / model, texts, sizes) if model else None
    return Stages(judged, reference, compared, reward, read)


def experiment(args: Any, sizes: Sizes, made: Stages | None) -> Experiment:
    """Returns the experiment of the optimisation; made: None before there are stages, for what is said of its settings.
    Raises ValueError."""
    contenders = tuple(contender(name, sizes.steps, bool(args.policy)) for name in args.algos)
    name = task.OF_PREFERENCES if args.preferences else task.NAME
    fields, judge = {"name": name}, None
    if made:
        fields |= {"supervised": task.named(made.supervised), "comparisons": task.named(made.comparisons)}
        fields |= {"reward": _whole(args.reward)} if args.reward else {"reward_model": task.named(made.reward_model)}
        asked = len(task.judged_prompts(task.named(made.supervised)))
        answers = task.judged_alike(args.eval_episodes or sizes.judged_answers, asked, sizes.reference_answers)
        judge = task.gold_judge(made.judges, made.supervised, answers, vader=args.vader, smollm2=bool(args.model))
    tasks = (Task(name, contenders, fields, task.language_task, judge),)
    width = 1 if args.policy and not args.trials else None  # 32 times its parameters fit in no memory
    return Experiment(tasks, tuple(range(sizes.seeds)), sizes.steps, sizes.evaluations, width=width)


def optimise(args: Any, folder: Path, sizes: Sizes, made: Stages) -> int:
    """Trains what is not trained yet, in a run folder of the lab, and returns the exit status. Raises BadInput."""
    if (folder / checkpoints.PROGRESS).is_file():
        return resume(to_resume(folder, args.trust), folder)
    shutil.rmtree(folder, ignore_errors=True)  # a run that was killed before it had begun
    chosen = overridden(experiment(args, sizes, made), args)
    return launch(prepared(chosen, args.trials), folder, args.tensorboard, margins(args.margin, chosen))


def begun(out: Path) -> bool:
    """Returns whether the optimisation in the pipeline's folder has begun."""
    return (out / OPTIMISATION / checkpoints.PROGRESS).is_file()


def _whole(reference: str) -> str:
    where, _, function = reference.rpartition(":")
    return f"{Path(where).resolve()}:{function}" if where.endswith(".py") else reference


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other processes out of the folder. Raises BadInput when one has it, and when it cannot be written to."""
    try:
        with FileLock(folder / ".pipeline.lock", timeout=0):
            yield
    except Timeout:
        raise BadInput(f"another process is running {folder}") from None
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror or error}; what was saved before is whole") from None

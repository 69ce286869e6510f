"""The texts of a run, what people said of them, and which part each is in: ratings of sentences, or preferences between two
answers to a prompt; and sentences more that nobody judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.lab.recording.files import sha256
from experiments.rlhf.opinions import Opinions, of_preferences, of_ratings
from experiments.rlhf.reading import HUMAN_SENTIMENT, Preference, read_preferences, read_ratings, read_sentences
from experiments.rlhf.settings import Sizes
from experiments.rlhf.splits import Split, sameness, split

SPLIT = ("seed", "held_out", "validation", "gold")  # the sizes that decide which sentence lies in which part
SHARES = 5, 10  # of what is held out, and for validation, one in so many at most: small files are split as well
FEW_PROMPTS = 20  # different ones: with fewer, a part is not made of whole prompts


class Corpus(NamedTuple):
    """What every stage reads from."""

    texts: tuple[str, ...]  # all that are judged
    prompts: tuple[str, ...]  # what each is an answer to; "" for a sentence by itself
    imitated: np.ndarray  # bool [N]: whether a policy should write so
    split: Split  # of the texts
    opinions: Opinions
    more: tuple[str, ...]  # sentences without opinions, that the supervised stage learns from too
    inputs: dict[str, str]  # the files, by SHA-256

    def of(self, part: np.ndarray) -> list[str]:
        """Returns the texts of a part."""
        return [self.texts[index] for index in part]

    def to_imitate(self, *parts: np.ndarray) -> list[tuple[str, str]]:
        """Returns (prompt, text) of the parts' texts that a policy should write."""
        return [(self.prompts[i], self.texts[i]) for part in parts for i in part if self.imitated[i]]

    @property
    def learned_from(self) -> list[tuple[str, str]]:
        """What the supervised stage learns from: texts, never opinions, of train and gold, and those without any."""
        return self.to_imitate(self.split.train, self.split.gold) + [("", text) for text in self.more]


def read(
    sizes: Sizes, ratings: Path | None = None, more: Path | None = None, preferences: Path | None = None
) -> Corpus:
    """Returns the texts of the files. ratings: None for those of the package, unless there are preferences. Raises
    ValueError, in one line, that names the line of a file which cannot be used."""
    if ratings and preferences:
        raise ValueError("--data and --preferences are both what people said of texts: give one of them")
    found = of_pairs(preferences, sizes) if preferences else of_sentences(ratings or HUMAN_SENTIMENT, sizes)
    if more is None:
        return found
    return found._replace(more=unseen(read_sentences(more), found), inputs=found.inputs | {"texts": sha256(more)})


def unseen(more: Sequence[str], found: Corpus) -> tuple[str, ...]:
    """Returns the sentences that are none of the held-out or validation texts, and prints how many were left out."""
    known = {sameness(text) for text in found.of(np.concatenate([found.split.held_out, found.split.validation]))}
    kept = tuple(text for text in more if sameness(text) not in known)
    if len(kept) < len(more):
        told = "are held-out or validation sentences and are left out"
        print(f"--texts: {len(more) - len(kept):,} of {len(more):,} sentences {told}", flush=True)
    return kept


def of_sentences(path: Path, sizes: Sizes) -> Corpus:
    """Returns the sentences of a rating file. Raises ValueError, in one line."""
    rated = read_ratings(path)
    single = next((index for index, own in enumerate(rated.ratings) if len(own) < 2), None)
    if single is not None:
        raise ValueError(
            f"{path}:{single + 2}: ratings: one rater alone; what raters agree on takes two or more a sentence"
        )
    number, parts = len(rated.texts), in_parts(path, rated.texts, sizes)
    nothing = ("",) * number
    return Corpus(rated.texts, nothing, np.full(number, True), parts, of_ratings(rated), (), {"ratings": sha256(path)})


def of_pairs(path: Path, sizes: Sizes) -> Corpus:
    """Returns the answers of a file of preferences, the chosen of line i + 1 as text 2i, the rejected as 2i + 1. Answers to
    one prompt lie in one part, as long as there are prompts enough. Raises ValueError, in one line."""
    found = read_preferences(path)
    same = next((i for i, one in enumerate(found) if one.chosen == one.rejected), None)
    if same is not None:
        raise ValueError(f"{path}:{same + 1}: rejected: it is the chosen answer again")
    parts = in_parts(path, kept_together(found), sizes)
    parts = Split(*(np.stack([2 * part, 2 * part + 1], 1).reshape(-1) for part in parts))
    tell_repeated(found, parts)
    texts = tuple(text for one in found for text in (one.chosen, one.rejected))
    prompts = tuple(prompt for one in found for prompt in (one.prompt, one.prompt))
    imitated = np.arange(len(texts)) % 2 == 0
    return Corpus(texts, prompts, imitated, parts, of_preferences(), (), {"preferences": sha256(path)})


def in_parts(path: Path, names: Sequence[str], sizes: Sizes) -> Split:
    """Returns the split of what is called so. Raises ValueError, in one line, where there is too little."""
    different = len(set(map(sameness, names)))
    held_out, validation = (max(2, different // share) for share in SHARES)  # one text has nothing to be compared with
    try:
        return split(names, sizes.seed, min(sizes.held_out, held_out), min(sizes.validation, validation), sizes.gold)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def kept_together(found: Sequence[Preference]) -> list[str]:
    """Returns a name for each preference; those of one name share their prompt, or, where prompts are few or there is none,
    an answer, or are joined by others that do."""
    many = len({one.prompt for one in found if one.prompt.strip()}) >= FEW_PROMPTS
    by_prompt = [many and bool(one.prompt.strip()) for one in found]
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while first.setdefault(name, name) != name:
            first[name] = name = first[first[name]]
        return name

    for one in (one for one, whole in zip(found, by_prompt) if not whole):
        first[root(sameness(one.rejected))] = root(sameness(one.chosen))
    return [one.prompt if whole else root(sameness(one.chosen)) for one, whole in zip(found, by_prompt)]


def repeated(found: Sequence[Preference], parts: Split) -> float:
    """Returns the share of held-out answers that are answers of the train part too, as to another prompt they may be."""
    texts = [sameness(text) for one in found for text in (one.chosen, one.rejected)]
    known = {texts[index] for index in parts.train}
    return float(np.mean([texts[index] in known for index in parts.held_out]))


def tell_repeated(found: Sequence[Preference], parts: Split) -> None:
    """Prints the share, if there is any: the reward model has met these answers."""
    if share := repeated(found, parts):
        print(f"preferences: {share:.1%} of held-out answers are answers of the train part too", flush=True)

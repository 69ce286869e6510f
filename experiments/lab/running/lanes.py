"""Lanes that do not wait for one another: each takes the next piece of work on a block when it is free, of its own blocks
first, then of those that wait behind another lane's. So a lane whose core has other things to do holds nobody up.

Which lane computes a block decides no bit of it: all have the same programs, each with one thread.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Condition, Thread

LOOK_SECONDS = 0.1  # between two looks at what else there is, while the lanes work


@dataclass
class Work:
    """What is to be done of each block, a piece at a time, and who does it."""

    home: list[int]  # of each block, the lane that it lies on; who takes it has it from then on
    left: Callable[[int], int]  # (block) -> how much there is to do, 0 once it is done
    piece: Callable[[int, int], None]  # (lane, block): does some of it
    in_hand: dict[int, int] = field(default_factory=dict)  # by lane, the block
    pieces: int = 0  # done by all
    halted: bool = False  # no lane takes a piece until `go_on`
    ended: bool = False  # no lane takes a piece any more
    error: BaseException | None = None
    changed: Condition = field(default_factory=Condition)

    def keep_on(self, lane: int) -> None:
        """Does pieces on the lane until none is left to anybody, or one has failed."""
        while (block := self._next(lane)) is not None:
            try:
                self.piece(lane, block)
            except BaseException as error:
                self.error = error

    def _next(self, lane: int) -> int | None:
        """Gives back what the lane has in hand and returns what it takes, in one move: else another lane would take the
        block that it is about to go on with."""
        with self.changed:
            self.pieces += self.in_hand.pop(lane, None) is not None
            self.changed.notify_all()
            while not self._over():
                block = None if self.halted else self._choice(lane)
                if block is not None:
                    self.home[block], self.in_hand[lane] = lane, block
                    return block
                self.changed.wait()
            return None

    def _choice(self, lane: int) -> int | None:
        """Returns the block with most to do, of those that lie on the lane if there are any, None where all are in hand."""
        free = [block for block in range(len(self.home)) if self.left(block) and block not in self.in_hand.values()]
        own = [block for block in free if self.home[block] == lane]
        return max(own or free, key=self.left, default=None)

    def _over(self) -> bool:
        return self.ended or self.error is not None or not any(map(self.left, range(len(self.home))))

    def wait(self, seen: int, seconds: float) -> tuple[int, bool]:
        """Returns (pieces done, whether all is over), as soon as that is news to who has seen so many, or after the
        seconds."""
        with self.changed:

            def over():
                return self._over() and not self.in_hand

            self.changed.wait_for(lambda: self.pieces > seen or over(), seconds)
            return self.pieces, over()

    def halt(self, waiting: Callable[[], None]) -> None:
        """Returns once no lane is at work; none begins again until `go_on`."""
        with self.changed:
            self.halted = True
            while self.in_hand:
                waiting()
                self.changed.wait(LOOK_SECONDS)

    def go_on(self) -> None:
        """Has the lanes work again."""
        with self.changed:
            self.halted = False
            self.changed.notify_all()

    def end(self, waiting: Callable[[], None]) -> None:
        """Has the lanes leave what is not done, and returns once they have."""
        self.ended = True
        self.halt(waiting)
        self.go_on()


def done(work: Work, lanes: int, seconds: float, waiting: Callable[[], None]) -> Iterator[Work]:
    """Yields the work while the lanes do it, every so many seconds in which anything got done. Whoever looks may halt it,
    until the next is asked for. waiting: called now and then."""
    for lane in range(lanes):
        Thread(target=work.keep_on, args=(lane,), daemon=True).start()
    try:
        looked, pieces, seen, over = time.perf_counter(), 0, 0, False
        while not over:
            waiting()
            pieces, over = work.wait(pieces, LOOK_SECONDS)
            if not over and pieces > seen and time.perf_counter() - looked >= seconds:
                seen = pieces
                yield work
                work.go_on()
                looked = time.perf_counter()
    finally:
        work.end(waiting)
    if work.error is not None:
        raise work.error

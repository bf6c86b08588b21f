"""A lock that says when somebody finds it taken."""

from threading import Event, Lock

PATIENCE = 30  # seconds; only a failing test takes as long


class Turnstile:
    """Stands in for a ``threading.Lock``."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.taken = Event()

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            self.taken.set()
            self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()

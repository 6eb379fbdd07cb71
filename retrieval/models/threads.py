"""Threads that models compute on."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache


def model_thread(name: str, torch_threads: int | None = None) -> ThreadPoolExecutor:
    """One thread that says how many torch computes on (None: as many as torch would take).

    A new thread takes over what any other said last: left to itself, it would compute on one after the questions'.
    """
    import torch

    as_many_as_torch_takes = _torch_threads()
    return ThreadPoolExecutor(
        1, name, initializer=torch.set_num_threads, initargs=(torch_threads or as_many_as_torch_takes,)
    )


@cache
def _torch_threads() -> int:
    """Asked before the first thread of ours says otherwise."""
    import torch

    return torch.get_num_threads()

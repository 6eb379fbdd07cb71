"""How many cores a model's thread computes on."""

import torch

from retrieval.models.threads import model_thread


def test_a_thread_for_one_core_leaves_the_others_theirs() -> None:
    """Torch hands what one thread said on to the next new one; ours say their own."""
    usual = model_thread("before").submit(torch.get_num_threads).result()
    assert model_thread("questions", 1).submit(torch.get_num_threads).result() == 1
    assert model_thread("after").submit(torch.get_num_threads).result() == usual

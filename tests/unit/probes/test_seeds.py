import torch

from probes.seeds import derive, generator


def test_same_purpose_same_numbers_whatever_came_before():
    first = torch.randn(5, generator=generator(3, "network", 1))
    torch.randn(7, generator=generator(3, "network", 2))
    assert torch.equal(first, torch.randn(5, generator=generator(3, "network", 1)))


def test_purposes_seeds_and_indices_are_told_apart():
    seeds = {derive(s, p, i) for s in range(3) for p in ("network", "decoder") for i in range(50)}
    assert len(seeds) == 300
    assert derive(1, "a", 23) != derive(12, "a", 3)


def test_leaves_global_state_alone():
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    generator(1, "network", 1)
    assert torch.equal(torch.randn(3), expected)

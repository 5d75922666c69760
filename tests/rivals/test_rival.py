"""What all rivals share: ways between images, and the properties that are measured."""

import pytest
import torch
from torch import nn

from pivq.rivals.rival import Rival, count_passes, exchange_places, is_discrete, order_matters, rows_at


class Toy(Rival):
    """Stores the mean of each row of pixels, whole (0 … 255) or not; three networks' calls a sample."""

    def __init__(self, whole: bool):
        self.whole, self.step = whole, nn.Identity()
        self.networks = [self.step]

    def encode(self, images):
        rows = images.mean(dim=(1, 3))
        return (255 * rows).round().long() if self.whole else rows

    def decode(self, stored):
        rows = stored / 255 if self.whole else stored
        return rows[:, None, :, None].expand(-1, 3, -1, 4).clamp(0, 1)

    def draw(self, count, seed):
        for _ in range(3):
            self.step(torch.zeros(1))
        levels = torch.randint(256, (count, 4), generator=torch.Generator().manual_seed(seed))
        return levels if self.whole else levels / 255

    def path(self, stored_a, stored_b, shares, seed):
        return exchange_places(stored_a, stored_b, shares, seed)


IMAGES = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_only_whole_numbers_are_discrete():
    assert is_discrete(Toy(whole=True), IMAGES)
    assert not is_discrete(Toy(whole=False), IMAGES)


def test_a_decoder_that_needs_more_than_the_codes_is_not_discrete():
    class Forgetful(Toy):
        calls = 0

        def decode(self, stored):
            self.calls += 1
            return super().decode(stored) / self.calls

    assert not is_discrete(Forgetful(whole=True), IMAGES)


def test_passes_are_counted_and_the_hooks_are_gone_afterwards():
    toy = Toy(whole=True)
    assert count_passes(toy) == toy.passes == 3
    assert not toy.step._forward_hooks


def test_order_matters_where_places_do():
    stored = torch.tensor([[0, 255, 0, 0]])
    toy = Toy(whole=True)
    images = toy.decode(stored)
    greatest = max(order_matters(toy, images, seed) for seed in range(5))
    assert greatest == 1
    assert order_matters(Toy(whole=False), images) is None


def test_a_way_changes_one_place_after_the_other():
    a, b = torch.tensor([1, 2, 3, 4]), torch.tensor([1, 7, 8, 9])
    path = exchange_places(a, b, torch.linspace(0, 1, 4), seed=3)
    assert torch.equal(path[0], a) and torch.equal(path[3], b)
    assert [(row != a).sum().item() for row in path] == [0, 1, 2, 3]
    assert all(((row == a) | (row == b)).all() for row in path)
    ways = {tuple(exchange_places(a, b, torch.tensor([1 / 3]), seed)[0].tolist()) for seed in range(30)}
    assert len(ways) == 3


def test_rows_are_those_nearest_to_the_shares():
    path = torch.arange(5)[:, None]
    assert rows_at(path, torch.tensor([0.0, 0.3, 0.5, 1.0])).flatten().tolist() == [0, 1, 2, 4]


def test_reconstruct_sample_and_interpolate_are_made_of_encode_draw_path_and_decode():
    toy = Toy(whole=True)
    assert torch.equal(toy.reconstruct(IMAGES), toy.decode(toy.encode(IMAGES)))
    assert torch.equal(toy.sample(4, seed=5), toy.decode(toy.draw(4, 5)))
    ends = toy.interpolate(IMAGES[0], IMAGES[1], torch.tensor([0.0, 1.0]))
    assert torch.equal(ends, toy.reconstruct(IMAGES[:2]))


def test_many_images_give_what_few_give():
    many = IMAGES.repeat(40, 1, 1, 1)  # more than one batch
    toy = Toy(whole=True)
    assert torch.equal(toy.encode_all(many), toy.encode(many))
    assert torch.equal(toy.decode_all(toy.encode(many)), toy.reconstruct(many))


@pytest.mark.parametrize(("count", "seed", "name"), [(0, 0, "count"), (2.5, 0, "count"), (2, -1, "seed")])
def test_a_wrong_count_or_seed_is_refused_by_name(count, seed, name):
    with pytest.raises((TypeError, ValueError), match=name):
        Toy(whole=True).sample(count, seed)

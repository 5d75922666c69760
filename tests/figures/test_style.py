"""The style of all figures: a thing has one colour."""

from pivq.figures.style import COLOURS, PALETTE, colour_of


def test_a_thing_has_one_colour_wherever_it_is_named():
    assert colour_of("PI-VQ, Matching") == COLOURS["matching"]
    assert colour_of("our nearest model", 5) == COLOURS["nearest"]
    assert colour_of("no quantizer", 2) == PALETTE[2] and colour_of("no quantizer", 2 + len(PALETTE)) == PALETTE[2]
    assert len(set(COLOURS.values())) == len(COLOURS)

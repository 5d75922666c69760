"""What a recipe may be, what it changes in the settings, and which recipes can be had together."""

import math

import pytest

from pivq.rivals.recipe.settings import CHANGES, IMPROVED, Recipe, as_recipe, described, improved, together


def test_the_default_changes_nothing(tiny_config):
    config = tiny_config()
    assert Recipe().changes == {} and not Recipe().inside and Recipe().settings(config) == config
    assert CHANGES["as trained"] == Recipe()


def test_each_change_differs_from_the_paper_s_training_and_from_the_others():
    assert [name for name, recipe in CHANGES.items() if not recipe.changes] == ["as trained"]
    assert len({recipe.digest for recipe in CHANGES.values()}) == len(CHANGES)
    fields = [set(recipe.changes) - {"token_spread"} for name, recipe in CHANGES.items() if name != "as trained"]
    assert all(len(of) == 1 for of in fields), "one change at a time"


def test_warm_up_is_a_factor_on_the_delay_which_keeps_its_window(tiny_config):
    config = tiny_config(train__quantize_from_step=4)  # W = 2
    starts = [Recipe(warm_up=factor).settings(config).train.quantize_from_step for factor in (0.25, 0.75, 1.5)]
    assert starts == [2, 3, 6]
    with pytest.raises(ValueError, match="steps 8 must be more than quantize_from_step 8"):
        Recipe(warm_up=2.0).settings(config)


def test_tokens_are_those_of_the_recipe_with_their_spread_or_the_usual_one(tiny_config):
    config = tiny_config()
    drawn, noisy = (CHANGES[name].settings(config).model for name in ("drawn tokens", "noisy tokens"))
    assert (drawn.tokens, drawn.token_spread) == ("drawn", 0.3)
    assert (noisy.tokens, noisy.token_spread) == ("noisy", config.model.token_spread)
    assert (drawn.num_codes, drawn.codebook_size) == (config.model.num_codes, config.model.codebook_size)


def test_a_recipe_that_does_not_fit_the_settings_is_refused(tiny_config):
    with pytest.raises(ValueError, match="projection must divide dim 16, got 3"):
        Recipe(projection=3).settings(tiny_config())
    with pytest.raises(ValueError, match="codebook_weight above 0"):
        Recipe(distribution_weight=1.0).settings(tiny_config(train__codebook_weight=0.0))
    with pytest.raises(ValueError, match="batch_size of at least 2"):
        Recipe(recombined_weight=1.0).settings(tiny_config(train__batch_size=1, train__history_steps=3))
    with pytest.raises(TypeError, match="config"):
        Recipe().settings("quick")


@pytest.mark.parametrize(
    "wrong",
    [{"rotation": 1}, {"warm_up": 0.0}, {"warm_up": math.nan}, {"warm_up": True}, {"projection": 0},
     {"projection": 2.0}, {"distribution_weight": -1.0}, {"distribution_weight": math.inf}, {"reseed_windows": -1},
     {"tokens": "lerned"}, {"token_spread": "0.3"}, {"recombined_weight": -0.1}],
    ids=str,
)  # fmt: skip
def test_wrong_values_are_refused_by_name(wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        Recipe(**wrong)


def test_changes_come_together_unless_they_contradict_each_other():
    both = together(["rotation trick", "drawn tokens"])
    assert both.changes == {"rotation": True, "tokens": "drawn", "token_spread": 0.3}
    assert together([]) == Recipe()
    for first, second in (("earlier T_q", "later T_q"), ("noisy tokens", "drawn tokens")):
        with pytest.raises(ValueError, match=f"'{second}' and another change"):
            together([first, second])
    with pytest.raises(ValueError, match="unknown change 'later Tq'; did you mean later T_q"):
        together(["later Tq"])


def test_improved_has_what_its_list_says_and_no_more():
    changed = {field for name in IMPROVED for field in CHANGES[name].changes}
    assert set(improved().changes) == changed and improved().inside
    assert as_recipe("improved") == improved() and as_recipe("recombined") == CHANGES["recombined"]
    assert as_recipe(Recipe(warm_up=2.0)) == Recipe(warm_up=2.0)


def test_names_that_are_none_are_refused():
    with pytest.raises(ValueError, match="unknown recipe 'improve'; did you mean improved"):
        as_recipe("improve")
    with pytest.raises(TypeError, match="recipe must be a Recipe or the name of one, got int"):
        as_recipe(3)


def test_a_description_makes_the_recipe_again():
    assert Recipe(**described(improved())) == improved()

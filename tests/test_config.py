"""Settings: overrides and their sources, digests, refusals."""

import dataclasses
import json
from pathlib import Path

import pytest
from stand_ins import load_profile

from pivq.config import Config, EvaluationConfig, ModelConfig, TrainConfig, load_config
from pivq.profiles import PROFILES

PROFILE_NAMES = list(PROFILES)


def changed(value):
    """Return another value of the same type."""
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value, 1)
    return value * 2 or 1


def test_the_folder_profile_wants_a_folder_and_keeps_its_runs_apart(tmp_path):
    with pytest.raises(ValueError, match="needs a folder of images: --data DIR"):
        load_config("folder")
    one, two = (load_config("folder", data=tmp_path / name) for name in "ab")
    assert one.digest("matching") != two.digest("matching")
    assert load_config("celeba64", data="x").digest("nearest") == load_config("celeba64", data="y").digest("nearest")


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path)), monkeypatch.chdir(tmp_path)
    for name in ("~/x", Path("~/x"), "~"):
        config, told = load_config("folder", data=name), load_config("folder", data=Path(name).expanduser())
        assert config == told and config.digest("matching") == told.digest("matching")
        assert config.data == str(Path(name).expanduser()) and "~" not in config.options
    for name in ("x~", "./~/x", "~nobody-of-this-name/x"):  # as they are
        assert load_config("folder", data=name).data == name


def test_how_data_are_read_is_a_setting(tmp_path):
    plain = load_config("folder", data=tmp_path)
    assert (plain.layout, plain.on_error) == ("", "raise")
    skipping = load_config("folder", data=tmp_path, on_error="skip")
    read = load_config("folder", data=tmp_path, layout="celeba")
    for run in ("matching", "nearest", "shared", "trunk"):
        assert plain.digest(run) == skipping.digest(run) != read.digest(run)
    for config in (skipping, read):
        assert Config.from_dict(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    "profile, data, layout, dataset, kept",
    [
        ("folder", "x", "ffhq", "folder", "ffhq"),
        ("folder", "x", "folder", "folder", "folder"),
        ("celeba64", "x", "folder", "folder", "folder"),
        ("celeba64", "x", "celebahq", "folder", "celebahq"),
        ("celeba64", "x", "celeba", "celeba", ""),
        ("celeba64", "", "celeba", "celeba", ""),
        ("smoke", "x", "celebahq", "folder", "celebahq"),
    ],
)
def test_a_set_read_in_another_layout_is_a_folder(profile, data, layout, dataset, kept):
    config = load_config(profile, data=data, layout=layout)
    assert (config.dataset, config.layout) == (dataset, kept)


def test_settings_of_earlier_versions_have_no_layout():
    values = load_config("quick").as_dict()
    for name in ("data", "layout", "on_error"):
        del values[name]
    assert Config.from_dict(values) == load_config("quick")


def test_options_ask_for_the_same_configuration():
    assert load_config("quick", seed=3).options == "--profile quick --seed 3"
    config = load_config("folder", data="my faces", layout="ffhq", on_error="skip")
    assert config.options == "--profile folder --seed 0 --data 'my faces' --layout ffhq --on-error skip"


def test_an_overridden_value_is_no_longer_the_papers():
    assert load_config("quick", train__ema_decay=0.995).sources["train.ema_decay"] == "paper"
    assert load_config("quick", train__ema_decay=0.9).sources["train.ema_decay"] == "assumption"


def test_overrides():
    config = load_config("quick", seed=3, train__steps=9999, model__channel_multipliers=[1, 2], dataset="ffhq")
    assert (config.seed, config.train.steps, config.dataset) == (3, 9999, "ffhq")
    assert config.model.channel_multipliers == (1, 2)
    assert load_config("quick").train.steps != 9999, "profiles themselves stay as they are"


def test_grid_size(tiny_config):
    assert tiny_config().model.grid_size == 4  # 16 pixels, patches of 4, no halving
    assert tiny_config(model__patch_size=1, model__channel_multipliers=(1, 1, 1, 1)).model.grid_size == 2


def test_configurations_are_frozen():
    config = load_config("quick")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.train.steps = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: load_config("quik"), "unknown profile 'quik'; did you mean quick"),
        (lambda: load_config("zzz"), "known: quick, smoke"),
        (lambda: load_config("quick", train__stepz=1), "unknown setting train.stepz; did you mean steps"),
        (lambda: load_config("quick", modle__dim=1), "unknown setting modle; did you mean model"),
        (lambda: load_config("quick", datasets="x"), "unknown setting datasets; did you mean dataset"),
        (lambda: load_config("quick", layout="folder"), "'folder' is for a folder .* 'quick' draws its own faces"),
        (lambda: load_config("smoke", layout="celeba"), "layout 'celeba' is for a folder .*use profile 'folder'"),
        (lambda: load_config("folder", data="x", layout="celebA"), "unknown layout 'celebA'; did you mean celeba"),
        (lambda: load_config("folder", data="x", layout=3), "unknown layout 3; known: celeba, celebahq, ffhq, folder"),
        (lambda: load_config("celeba64", layout="folder"), "'celeba64' needs a folder of images: --data DIR"),
        (lambda: load_config("quick", on_error="skipp"), "unknown on_error 'skipp'; did you mean skip"),
        (lambda: load_config("quick", on_error=None), "unknown on_error None; known: raise, skip"),
        (lambda: load_config("quick", on_error=["skip"]), "unknown on_error"),
        (lambda: load_config("quick", seed=-1), "seed .* got -1"),
        (lambda: load_config("quick", seed=2**32), "seed .* got 4294967296"),
        (lambda: load_config("quick", steps=30), "30 steps are too few: .* fitted 4 times, each to 8 steps"),
        (lambda: load_config("quick", steps=-5), "steps must be a whole number from 0 .* got -5"),
        (lambda: load_config("quick", seed=1.5), "seed .* got 1.5"),
        (lambda: load_config("quick", train__adversarial_from_step=500, train__discriminator_from_step=500),
         "adversarial_from_step 500 must come after discriminator_from_step 500"),
        (lambda: load_config("quick", train__quantize_from_step=5, train__history_steps=6),
         "quantize_from_step 5 is less than history_steps 6"),
        (lambda: load_config("quick", train__history_steps=1, train__batch_size=2),
         "history_steps 1 .* give 64 latents, too few for codebook_size 512 .* at least 8"),
        (lambda: load_config("quick", train__quantize_from_step=0), "set codebook_initialisations to 0"),
        (lambda: load_config("quick", train__steps=800, train__quantize_from_step=800),
         "steps 800 must be more than quantize_from_step 800"),
        (lambda: load_config("quick", model__heads=5, model__dim=8), "heads must divide dim, got 5 heads for dim 8"),
        (lambda: load_config("quick", model__image_size=60, model__patch_size=2, model__channel_multipliers=(1, 2, 3)),
         "image_size must be a multiple of 8.* got 60"),
        (lambda: load_config("quick", model__image_size=0), "image_size must be .* got 0"),
    ],
)  # fmt: skip
def test_refusals_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_quantizing_from_the_first_step_is_possible():
    config = load_config("quick", train__quantize_from_step=0, train__codebook_initialisations=0)
    assert config.train.quantize_from_step == 0


# Of the runs behind the committed figures, and of the paper's profiles: no change of the code may change them.
@pytest.mark.parametrize(
    "profile, learned, drawn",
    [
        ("quick", "d61d0e5e", "41e9701a"), ("smoke", "c34351b4", "d5afe126"), ("celeba64", "d48ce040", "1e5e698a"),
        ("celebahq256", "59742c8c", "aa6c132b"), ("ffhq256", "5bb8cedd", "6bb09ebc"),
    ],
)  # fmt: skip
def test_digests_of_the_profiles(profile, learned, drawn):
    config = load_config(profile)
    assert (config.digest("matching"), config.drawn().digest("matching")) == (learned, drawn)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_length_of_its_own_changes_nothing(profile):
    config = load_profile(profile)
    assert load_config(profile, data=config.data, steps=config.train.steps) == config


def test_another_length_has_its_schedule_in_proportion():
    half = load_config("quick", steps=1700)
    assert (half.train.steps, half.train.warmup_steps, half.train.quantize_from_step) == (1700, 50, 600)
    assert (half.train.history_steps, half.train.discriminator_from_step) == (50, 750)
    assert half.train.adversarial_from_step == 751, "one step later, as before"
    assert half.evaluation.validate_every == 150 and half.train.decay_from == 0.5
    drawn = half.drawn().train
    assert (drawn.steps, drawn.quantize_from_step, drawn.discriminator_from_step) == (1700, 680, 10**9)
    assert load_config("quick", steps=6800).train.history_steps == 200
    assert half.sources["train.history_steps"] == "assumption"
    assert half.options == "--profile quick --seed 0 --steps 1700"


def test_a_short_training_has_enough_latents_for_its_codebook():
    train = load_config("celeba64_short", steps=600).train  # W would be 1
    assert train.history_steps * train.batch_size * 32 >= 4 * 512 and train.quantize_from_step == 120
    short = load_config("celeba64", steps=10_000).train  # W = 100 would become 2
    assert (short.history_steps, short.quantize_from_step) == (4, 400)


def test_an_override_goes_before_a_length():
    assert load_config("quick", steps=1700, train__quantize_from_step=900).train.quantize_from_step == 900


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_round_trip_through_json(profile):
    config = load_profile(profile, seed=7)
    again = Config.from_dict(json.loads(json.dumps(config.as_dict())))
    assert again == config
    assert again.digest("matching") == config.digest("matching")


def test_from_dict_names_unknown_and_missing_settings():
    values = load_config("quick").as_dict()
    values["train"]["stepz"] = values["train"].pop("steps")
    with pytest.raises(ValueError, match="unknown setting train.stepz; did you mean steps"):
        Config.from_dict(values)
    del values["train"]["stepz"], values["train"]["batch_size"]
    with pytest.raises(ValueError, match=r"without a value: train\.steps, train\.batch_size"):
        Config.from_dict(values)


@pytest.mark.parametrize("part", ["model", "train", "evaluation"])
def test_digest_changes_with_what_changes_the_network_and_nothing_else(part, monkeypatch):
    for kind in (Config, ModelConfig, TrainConfig, EvaluationConfig):  # one value changed alone may not be possible
        monkeypatch.setattr(kind, "__post_init__", lambda self: None)
    config = load_config("quick")
    usual = config.digest("matching")
    for field in dataclasses.fields(getattr(config, part)):
        values = config.as_dict()
        values[part][field.name] = changed(values[part][field.name])
        other = Config.from_dict(values)
        assert (other.digest("matching") == usual) == (part == "evaluation"), field.name


def test_runs_that_differ_after_t_q_alone_share_their_trunk(tiny_config, monkeypatch):
    usual = tiny_config()
    monkeypatch.setattr(TrainConfig, "__post_init__", lambda self: None)  # a changed value may be out of its range
    monkeypatch.setattr(Config, "__post_init__", lambda self: None)
    later = {
        "codebook_weight": 9.0, "commitment_weight": 9.0, "codebook_initialisations": 1,
        "discriminator_from_step": 3, "adversarial_from_step": 7,
    }  # fmt: skip
    for name, value in later.items():
        other = tiny_config(**{f"train__{name}": value})
        assert other.digest("trunk") == usual.digest("trunk"), name
        assert other.digest("matching") != usual.digest("matching"), name
    for name in (field.name for field in dataclasses.fields(usual.train) if field.name not in later):
        values = usual.as_dict()
        values["train"][name] = {"quantize_from_step": 4, "history_steps": 3}.get(name, changed(values["train"][name]))
        assert Config.from_dict(values).digest("trunk") != usual.digest("trunk"), name
    assert tiny_config(model__dim=32).digest("trunk") != usual.digest("trunk")
    assert tiny_config(seed=1).digest("trunk") != usual.digest("trunk")


def test_a_discriminator_before_t_q_is_part_of_the_trunk(tiny_config):
    def trunk(discriminator, adversarial):
        steps = {"discriminator_from_step": discriminator, "adversarial_from_step": adversarial}
        return tiny_config(**{f"train__{name}": step for name, step in steps.items()}).digest("trunk")

    assert len({trunk(0, 1), trunk(0, 2), trunk(1, 2), trunk(1, 3), trunk(3, 4)}) == 5
    assert trunk(1, 3) == trunk(1, 7), "from T_q on it makes no difference to the trunk"


def test_digest_changes_with_seed_dataset_and_quantizer():
    digests = {
        load_config("quick").digest("matching"),
        load_config("quick").digest("nearest"),
        load_config("quick", seed=1).digest("matching"),
        load_config("quick", dataset="ffhq").digest("matching"),
    }
    assert len(digests) == 4
    assert load_config("quick").digest("matching") in digests, "and is the same each time"


def test_a_part_that_is_no_settings_is_told():
    values = load_config("quick").as_dict()
    for changed, name in (([], "a configuration"), (values | {"model": [1]}, "model")):
        with pytest.raises(ValueError, match=f"{name} must be settings by name, got"):
            Config.from_dict(changed)

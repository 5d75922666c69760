"""The control model: it depends on the seed alone, and has a codebook that fits its latents."""

import torch
from stand_ins import make_images

from pivq.inference import encode_images
from pivq.runs.untrained import untrained_model


def test_the_same_weights_and_codebook_every_time_for_both_quantizers(tiny_config):
    before = torch.random.get_rng_state()
    models = [untrained_model(tiny_config(), make_images(), name) for name in ("matching", "matching", "nearest")]
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is left alone"
    for model in models[1:]:
        for name, value in model.state_dict().items():
            assert torch.equal(value, models[0].state_dict()[name]), name
    other = untrained_model(tiny_config(seed=1), make_images())
    assert not torch.equal(other.encoder.positions, models[0].encoder.positions)


def test_the_codebook_is_fitted_to_the_latents(tiny_config):
    config, images = tiny_config(), make_images()
    model = untrained_model(config, images, "nearest")
    used = len(set(encode_images(model, images).ravel().tolist()))
    assert used == config.model.codebook_size, "k-means leaves no code without latents"


def test_drawn_tokens_are_others_for_every_image(tiny_config):
    config = tiny_config(model__tokens="drawn")
    fitted = untrained_model(config, make_images()).quantizer.codebook
    spread = fitted.std(dim=0).mean()
    one = untrained_model(config, make_images()[:1].expand(24, -1, -1, -1)).quantizer.codebook
    assert one.std(dim=0).mean() > 0.5 * spread, "the latents of one image differ as its tokens are drawn anew"

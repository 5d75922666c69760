"""The grid networks are the convolutional parts of PI-VQ's, and nothing else."""

import torch
import torch.nn.functional as F
from conftest import make_tiny_config

from pivq.model import Decoder, Encoder
from pivq.rivals.convolutions import GridDecoder, GridEncoder


def test_with_the_same_weights_they_compute_what_pi_vq_s_convolutions_do():
    config = make_tiny_config().model
    encoder, decoder, grid_encoder, grid_decoder = (
        kind(config) for kind in (Encoder, Decoder, GridEncoder, GridDecoder)
    )
    grid_encoder.load_state_dict({k: v for k, v in encoder.state_dict().items() if k.startswith("down.")})
    of_decoder = {k: v for k, v in decoder.state_dict().items() if k.startswith(("up.", "conv_out."))}
    grid_decoder.load_state_dict(of_decoder)
    images = torch.rand(2, 3, 16, 16)
    seen = []
    encoder.down.register_forward_hook(lambda *call: seen.append(call[2]))
    encoder(images)
    assert torch.equal(grid_encoder(images), seen[0])
    grid = torch.randn(2, config.dim, config.grid_size, config.grid_size)
    expected = F.pixel_shuffle(decoder.conv_out(decoder.up(grid)), config.patch_size)
    assert torch.equal(2 * grid_decoder(grid) - 1, expected) or torch.allclose(
        2 * grid_decoder(grid) - 1, expected, atol=1e-6
    )

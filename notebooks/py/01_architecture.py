# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · The architecture, and why the order of codes cannot matter
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/01_architecture.ipynb)
#
# **Claim that is tested here.** The decoder of PI-VQ gets its codes as a set: "positional embeddings are not applied to the latent codes before decoding: as a result, the decoder is invariant to permutation of the latent codes" (Section 3.2, Fig. 2).
#
# | | |
# |---|---|
# | needs | the faces (notebook 00). Until notebook 03 has trained a model, the one that comes with the project is shown; the claim is about the architecture, so an untrained one will do |
# | makes | `fig2_architecture`, `parameters` in `figures/<profile>/` |

# %% [markdown]
# In a checkout, the next cell uses that checkout; elsewhere, as on Colab, it fetches and installs the project ([docs/colab.md](https://github.com/REPOSITORY/blob/main/docs/colab.md)).

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("pivq") is None:
    checkout = Path.cwd().parent
    if not (checkout / "pivq").is_dir():
        checkout = Path.cwd() / "companion"
        if not checkout.exists():
            subprocess.run(["git", "clone", "--depth", "1", "https://github.com/REPOSITORY", checkout], check=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", checkout], check=True)
    sys.path.insert(0, str(checkout))

# %% [markdown]
# These are the parameters. Everything here is computed anew each time, so `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_table
from pivq.figures.diagrams import draw_architecture
from pivq.figures.pictures import as_pixels, plot_images
from pivq.figures.style import use_style
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.shipped import find_shown, which
from pivq.runs.splits import load_split
from pivq.runs.untrained import untrained_model

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# Here are eight held-out faces to look at.

# %%
heldout = load_split(config, "heldout")
images = torch.stack([heldout[i] for i in range(8)])

# %% [markdown]
# ## The architecture (Fig. 2)
#
# The figure is drawn from this profile's configuration, so its numbers are those of the model that runs.

# %%
figure = draw_architecture(config.model, image=as_pixels(images)[0])
save_figure(figure, "fig2_architecture", config, caption(config));

# %% [markdown]
# **What to look at.** Follow the numbers in the squares: a number means that the token knows its place.
#
# 1. *Encoder.* Convolutions shrink the image to a small grid. Its cells become a sequence, each with a positional embedding, and the learned tokens are appended. In the transformer every token looks at every other. Its outputs for the learned tokens are the latents. Each learned token can gather from *anywhere* in the image: a code need not stand for a place.
# 2. *Quantizer.* Each latent is replaced by a vector of the codebook: the nearest (Eq. 1), or, by matching (Eq. 3), one that no other latent of the image has. Notebook 02 is about this step.
# 3. *Decoder.* The code vectors arrive **without numbers**. The learned output embeddings have places. They query the codes, and their answers are reshaped to the grid that the convolutions turn into an image.
#
# What goes in is an image, and what comes out is an image. In between there is only a set.

# %% [markdown]
# The next cell loads the trained model of notebook 03. Until there is one, it takes the model that comes with the project; for other settings than its own, a model with random weights, whose codebook is fitted to their latents.

# %%
run = find_shown(config)
model = run.model() if run else untrained_model(config, heldout.images)
display(Markdown(which(run)))

# %% [markdown]
# ## Where the parameters are
#
# The table counts the parameters of each part of the model.

# %%
parts = {
    "encoder: convolutions": "encoder.down.",
    "encoder: positional embeddings": "encoder.positions",
    "encoder: learned tokens": "encoder.tokens",
    "encoder: transformer": "encoder.transformer.",
    "codebook": "quantizer.codebook",
    "decoder: output embeddings": "decoder.outputs",
    "decoder: transformer": "decoder.transformer.",
    "decoder: convolutions": ("decoder.up.", "decoder.conv_out."),
}
sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
counts = {part: sum(size for name, size in sizes.items() if name.startswith(start)) for part, start in parts.items()}
total = sum(sizes.values())
assert sum(counts.values()) == total, "a parameter belongs to no part"
table = pd.DataFrame({"part": [*counts, "all"], "parameters": [*counts.values(), total]})
table["share"] = [f"{count / total:.1%}" for count in table["parameters"]]
save_table(table, "parameters", config, caption(config))
display(table.style.format({"parameters": "{:,}"}).hide(axis="index"))

# %% [markdown]
# **What to look at.** There is no entry "decoder: positional embeddings of the codes": the table shows the claim as much as the figure does.

# %% [markdown]
# ## Shuffled codes, the same image
#
# The next cell encodes the faces, then decodes their codes in latent order and in a random order.

# %%
generator = torch.Generator().manual_seed(seed)
codes = model.encode(images)
order = torch.randperm(codes.shape[1], generator=generator)
decoded, shuffled = model.decode(codes), model.decode(codes[:, order])
torch.testing.assert_close(shuffled, decoded, rtol=0, atol=1e-5)
display(Markdown(
    f"Codes of the first face, in latent order: {codes[0].tolist()}  \n"
    f"The same codes in a random order: {codes[0, order].tolist()}"
))

# %% [markdown]
# Both give the same image. What differs is rounding, because sums of floating-point numbers depend on their order; notebook 05 measures it on the trained model. Here are the images, and their difference enlarged a million times:

# %%
enlarged = ((shuffled - decoded).abs() * 1e6).clamp(max=1)
rows = ["image", "latent order", "shuffled", "difference\n× 1,000,000"]
plot_images(torch.cat([images, decoded, shuffled, enlarged]), columns=len(images), row_labels=rows);

# %% [markdown]
# Does the decoder ignore its codes? No: another code in one single place changes the image.

# %%
changed = codes.clone()
free = [next(k for k in range(config.model.codebook_size) if k not in row) for row in codes.tolist()]
changed[:, 0] = torch.tensor(free)
effect = float((model.decode(changed) - decoded).abs().max())
display(Markdown(
    f"With one of {codes.shape[1]} codes replaced, the greatest difference of any pixel is **{effect:.2g}** (of 1). "
    f"One step of 8-bit colour is {1 / 255:.3f}."
))

# %% [markdown]
# ## Why: attention is a sum
#
# What a query gets from attention is $\sum_i \mathrm{softmax}_i(q \cdot k_i)\, v_i$: a weighted sum over tokens in which a token's weight depends on its own key alone. A sum has no order. Here is the computation with one query and three tokens of one number each:

# %%
query, keys, values = 1.0, np.array([0.0, 1.0, 2.0]), np.array([10.0, 20.0, 30.0])
for order in ([0, 1, 2], [2, 0, 1]):
    weights = np.exp(query * keys[order])
    weights /= weights.sum()
    terms = " + ".join(f"{weight:.3f} · {value:.0f}" for weight, value in zip(weights, values[order], strict=True))
    print(f"tokens {order}: {terms} = {weights @ values[order]:.3f}")

# %% [markdown]
# Everything else in a transformer (norms, feed-forward networks) works on each token by itself. So permuting the inputs of a layer permutes its outputs. The outputs that are kept, those of the output embeddings, do not change. The encoder is made of the same layers; its positional embeddings and convolutions give *it* a sense of place. So the order of the *codes* is free, but not that of the pixels: the next cell counts the codes that a face shares with its mirror image.

# %%
mirrored = model.encode(images.flip(3))
common = [len(set(a) & set(b)) for a, b in zip(codes.tolist(), mirrored.tolist(), strict=True)]
display(Markdown(f"In common with the mirror image: {np.mean(common):.1f} of {codes.shape[1]} codes on average."))

# %% [markdown]
# ## The counter-example: give the codes places
#
# A conventional VQ model has positional embeddings on its codes. The next cell adds them to the same decoder: a random vector for each place, scaled like the code vectors. It decodes again in latent order and shuffled.

# %%
vectors = F.embedding(codes, model.quantizer.codebook)
places = torch.randn(vectors.shape[1:], generator=generator) * vectors.std()
order = torch.randperm(codes.shape[1], generator=generator)
with torch.no_grad():
    placed = model.decoder(vectors + places).clamp(0, 1)
    placed_shuffled = model.decoder(vectors[:, order] + places).clamp(0, 1)
broken = float((placed_shuffled - placed).abs().max())
assert broken > 1e-4, "positions on the codes should have broken the invariance"
display(Markdown(f"With positions on the codes, the greatest difference is **{broken:.2g}**: the invariance is gone."))

# %% [markdown]
# The model was not made for positions on its codes, so compare the two rows with each other, not with the faces:

# %%
rows = ["with positions,\nlatent order", "with positions,\nshuffled", f"difference\n× {1 / broken:.1f}"]
difference = (placed_shuffled - placed).abs() / broken
plot_images(torch.cat([placed, placed_shuffled, difference]), columns=len(images), row_labels=rows);

# %% [markdown]
# **What this buys and what it costs.** With a set, two faces can be mixed by mixing their codes (notebook 05): no code has to fit its neighbours, because it has none. The price is information: all $L!$ orders of $L$ different codes are the same set (notebook 04 counts the bits).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures. They depend on the configuration alone.

# %%
display(stamp(config, model=run.folder.name if run else "untrained"))

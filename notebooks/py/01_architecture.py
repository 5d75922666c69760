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
# **Claim that is tested here.** The decoder of PI-VQ, a *permutation-invariant vector-quantized* autoencoder, gets its codes as a set: "positional embeddings are not applied to the latent codes before decoding: as a result, the decoder is invariant to permutation of the latent codes" (Section 3.2, Fig. 2).
#
# **Afterwards you can**
#
# - follow an image through PI-VQ, with the shape of what passes each step;
# - say how a learned token gathers from the whole image, and look at where it looks;
# - show, in a formula and in pictures, why the order of the codes cannot matter, and what would make it matter.
#
# Read with it: Section 3.2 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the faces ([notebook 00](00_meet_the_faces.ipynb)). Until [notebook 03](03_train.ipynb) has trained a model, the one that comes with the project is shown; the claim is about the architecture, so an untrained model is enough |
# | makes | `fig2_architecture`, `parameters` in `figures/<profile>/` |

# %% [markdown]
# In a checkout, the next cell uses that checkout; elsewhere, as on Colab, it fetches and installs the project ([docs/colab.md](https://github.com/REPOSITORY/blob/main/docs/colab.md)).

# %%
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.append(str(Path.cwd().parent))
if find_spec("pivq") is None:
    clone = "git clone --depth 1 https://github.com/REPOSITORY companion"
    install = f"'{sys.executable}' -m pip install -q -e companion"
    subprocess.run(f"([ -d companion ] || {clone}) && {install}", shell=True, check=True)
    sys.path.append("companion")

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
from pivq.figures.tables import facts_table, styled
from pivq.figures.teaching import plot_attention
from pivq.inference import token_attention
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.shipped import find_shown, which
from pivq.runs.splits import load_split
from pivq.runs.teaching.exercises import check_attend
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
# The next cell loads the trained model of [notebook 03](03_train.ipynb). Until there is one, it takes the model that comes with the project; for other settings than its own, a model with random weights, whose codebook is fitted to their latents.

# %%
run = find_shown(config)
model = run.model() if run else untrained_model(config, heldout.images)
display(Markdown(which(run)))

# %% [markdown]
# ## Why a set?
#
# A VQ-VAE or VQ-GAN replaces each cell of a feature map by one of $K$ learned vectors: its *code*. Its codes stand in a grid, so the code at the mouth means something only at the mouth, and only next to its neighbours. To draw a new image, one needs a second model, a *prior*, that knows which codes go together where. PI-VQ gives up the grid: an image is a set $C_x$ of $L$ codes without places. Then two images can be mixed by mixing their sets ([notebook 05](05_interpolation.ipynb)), and no prior is needed. The price is the information in the order ([notebook 04](04_capacity.ipynb)).
#
# ## The architecture (Fig. 2)
#
# The figure is drawn from this profile's configuration, so its numbers are those of the model that runs. The reconstruction and the codes, some of which are shown, are what the model above makes of the image.

# %%
coded = model.encode(images[:1])  # (1, L)
figure = draw_architecture(
    config.model,
    as_pixels(images)[0],
    as_pixels(model.decode(coded))[0] if run else None,  # without training there is nothing to see
    coded[0].tolist(),
)
save_figure(figure, "fig2_architecture", config, caption(config));

# %% [markdown]
# **What to look at.** Follow the numbers in the squares: a number means that the token knows its place.
#
# 1. *Encoder.* Convolutions shrink the image to a small grid. Its cells become a sequence, each with a *positional embedding* (a learned vector that says where it is), and $L$ *learned tokens* (vectors that are the same for every image) are appended. In the transformer every token looks at every other. Its outputs for the learned tokens are the *latents* $z_e$. Each learned token can gather from *anywhere* in the image: a code need not stand for a place.
# 2. *Quantizer.* Each latent is replaced by one of the $K$ vectors of the *codebook*: the nearest (Eq. 1), or, by matching (Eq. 3), one that no other latent of the image has. The number of the vector is the code. [Notebook 02](02_matching_quantization.ipynb) is about this step.
# 3. *Decoder.* The code vectors arrive **without numbers**. The learned output embeddings have places. They query the codes, and their answers are reshaped to the grid that the convolutions turn into an image.
#
# Image in, image out; in between, nothing but an unordered set of whole numbers.

# %% [markdown]
# ## One batch, step by step
#
# With $h \times w$ cells of the grid and $d$ numbers per token, the steps are
#
# $$x \;\xrightarrow{\text{convolutions}}\; \text{grid} \;\xrightarrow{\text{transformer}}\; z_e \in \mathbb{R}^{L \times d} \;\xrightarrow{\text{quantizer}}\; C_x \;\xrightarrow{\text{codebook}}\; z_c \in \mathbb{R}^{L \times d} \;\xrightarrow{\text{decoder}}\; \hat x.$$
#
# The next cell takes them one at a time, and shows the shape of what each returns. The first number is the batch.

# %%
with torch.no_grad():
    patches = F.pixel_unshuffle(2 * images - 1, model.config.patch_size)
    grid = model.encoder.down(patches)  # convolutions
    latents = model.encoder(images)  # the same, then positions, learned tokens, transformer: z_e
    codes = model.quantizer.codes(latents)  # C_x, in latent order
    vectors = F.embedding(codes, model.quantizer.codebook)  # z_c
    decoded = model.decoder(vectors)
steps = {"image x": images, "grid of cells": grid, "latents z_e": latents, "codes C_x": codes}
steps |= {"code vectors z_c": vectors, "reconstruction x̂": decoded}
rows = [[name, " × ".join(map(str, value.shape))] for name, value in steps.items()]
display(styled(pd.DataFrame(rows, columns=["", "shape"])))

# %% [markdown]
# ## How a learned token gathers
#
# A learned token $t_l$ knows nothing of the image. In a layer of the transformer it asks every cell $i$ a question, its *query* $q_l$; the cell answers with a *key* $k_i$ and a *value* $v_i$, all three made by learned matrices from what the token or cell holds. **Attention** is how well question and answer fit, and the token takes the values in these proportions:
#
# $$a_{li} = \underset{i}{\mathrm{softmax}} \left( \frac{q_l \cdot k_i}{\sqrt{d_h}} \right), \qquad t_l \;\leftarrow\; t_l + W \sum_i a_{li}\, v_i,$$
#
# where $i$ runs over all cells and all tokens, $d_h$ is the length of a query, and $W$ is one more learned matrix. Several *heads* do this side by side. The picture shows the weights $a_{li}$ in the encoder's last layer, averaged over its heads, for the tokens whose attention is most concentrated. Colour marks where a token looks, yellow most of all.

# %%
weights = token_attention(model, images)  # (B, L, h, w)
focus = weights.mean(dim=0).flatten(1).max(dim=1).values  # (L,)
tokens = focus.topk(min(6, len(focus))).indices.tolist()
plot_attention(images[:3], weights[:3], tokens)
share = float(weights.sum(dim=(2, 3)).mean())
display(Markdown(
    f"On average {share:.0%} of a token's attention goes to the cells, the rest to the tokens."
))

# %% [markdown]
# **What to look at.** Does a token look at the same cells in every face? Then it asks about something that is always there, such as the hair line. Is its attention spread over several places? Then its code cannot stand for one place. In the untrained model the pattern is chance.

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
counts = {
    part: sum(size for name, size in sizes.items() if name.startswith(start))
    for part, start in parts.items()
}
total = sum(sizes.values())
assert sum(counts.values()) == total, "a parameter belongs to no part"
table = pd.DataFrame({"part": [*counts, "all"], "parameters": [*counts.values(), total]})
table["share"] = [f"{count / total:.1%}" for count in table["parameters"]]
save_table(table, "parameters", config, caption(config))
display(styled(table, {"parameters": "{:,}"}))

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
# Written as a formula: for any permutation matrix $\Pi \in \{0, 1\}^{L \times L}$, $\text{Decoder}(\Pi z_c) = \text{Decoder}(z_c)$. Both orders give the same image. What differs is rounding, because sums of floating-point numbers depend on their order; [notebook 05](05_interpolation.ipynb) measures it on the trained model. Here are the images, and their difference enlarged a million times:

# %%
enlarged = ((shuffled - decoded).abs() * 1e6).clamp(max=1)
rows = ["image", "latent order", "shuffled", "difference\n× 1,000,000"]
plot_images(torch.cat([images, decoded, shuffled, enlarged]), columns=len(images), row_labels=rows);

# %% [markdown]
# Does the decoder ignore its codes? No: another code in one single place changes the image.

# %%
changed = codes.clone()
free = [
    next(k for k in range(config.model.codebook_size) if k not in row) for row in codes.tolist()
]
changed[:, 0] = torch.tensor(free)
effect = float((model.decode(changed) - decoded).abs().max())
display(
    Markdown(
        f"With one of {codes.shape[1]} codes replaced, the greatest difference of any pixel is "
        f"**{effect:.2g}** (of 1). "
        f"One step of 8-bit colour is {1 / 255:.3f}."
    )
)

# %% [markdown]
# ## Why: attention is a sum
#
# What a query gets from attention is $\sum_i a_i v_i$ with $a_i = e^{q \cdot k_i} / \sum_j e^{q \cdot k_j}$: a weighted sum over tokens, and the weights are sums, too. A sum has no order. Here is the computation with one query and some tokens of one number each, in two orders. Change the numbers, or add a token:

# %%
query, keys, values = 1.0, np.array([0.0, 1.0, 2.0]), np.array([10.0, 20.0, 30.0])
for order in (np.arange(len(keys)), np.roll(np.arange(len(keys)), 1)):
    attention = np.exp(query * keys[order])
    attention /= attention.sum()
    terms = " + ".join(
        f"{weight:.3f} · {value:.0f}"
        for weight, value in zip(attention, values[order], strict=True)
    )
    print(f"tokens {order.tolist()}: {terms} = {attention @ values[order]:.3f}")

# %% [markdown]
# Everything else in a transformer (norms, feed-forward networks) works on each token by itself. So permuting the inputs of a layer $T$ permutes its outputs: $T(\Pi X) = \Pi\, T(X)$; such a layer is called *equivariant*. The outputs that are kept, those of the output embeddings, do not change. The encoder is made of the same layers; its positional embeddings and convolutions give *it* a sense of place. So the order of the *codes* is free, but not that of the pixels. The next cell counts the codes that a face keeps when its pixels change places.

# %%
changes = {"mirrored": images.flip(3), "turned upside down": images.flip(2)}
changes |= {"in place of it, another face": images.roll(1, dims=0)}
rows = []
for name, changed in changes.items():
    pairs = zip(codes.tolist(), model.encode(changed).tolist(), strict=True)
    rows.append([name, np.mean([len(set(a) & set(b)) for a, b in pairs])])
table = pd.DataFrame(rows, columns=["the image", f"codes kept, of {codes.shape[1]}"])
display(styled(table, precision=1))

# %% [markdown]
# **What to look at.** Are many codes lost when up and down change places? Then the order of the pixels matters. Mirroring says less: a drawn face is nearly its own mirror image. The last row is what two faces have in common anyway.

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
display(
    Markdown(
        f"With positions on the codes, the greatest difference is **{broken:.2g}**: the invariance "
        "is gone."
    )
)

# %% [markdown]
# The model was not made for positions on its codes, so compare the two rows with each other, not with the faces:

# %%
rows = [
    "with positions,\nlatent order",
    "with positions,\nshuffled",
    f"difference\n× {1 / broken:.1f}",
]
difference = (placed_shuffled - placed).abs() / broken
plot_images(torch.cat([placed, placed_shuffled, difference]), columns=len(images), row_labels=rows);

# %% [markdown]
# **What this buys and what it costs.** With a set, two faces can be mixed by mixing their codes ([notebook 05](05_interpolation.ipynb)): no code has to fit its neighbours, because it has none. The price is information: all $L!$ orders of $L$ different codes are the same set ([notebook 04](04_capacity.ipynb) counts the bits).

# %% [markdown]
# ## Summary
#
# - The encoder makes $L$ latents with $L$ learned tokens that look at the whole image; the quantizer makes them codes; the decoder asks the codes, cell by cell, for an image.
# - Attention is a sum over tokens, and everything else works on each token alone. So without positions on the codes the decoded image cannot depend on their order: true of any weights, trained or not.
# - With positions on the codes, the invariance is gone at once.
#
# Next: [notebook 02](02_matching_quantization.ipynb) is about the step in the middle.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 1.1: attention in two lines
#
# Write attention for one query $q \in \mathbb{R}^d$ and $T$ tokens with keys and values in $\mathbb{R}^{T \times d}$: $\sum_i a_i v_i$ with $a = \mathrm{softmax}(K q / \sqrt{d})$. The check also shuffles the tokens.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def attend(query, keys, values):
    """Return what a query (d,) gets from keys and values (T, d): a vector (d,)."""
    weights = torch.softmax(keys @ query / query.shape[0] ** 0.5, dim=0)
    return weights @ values

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_attend(attend)))

# %% [markdown]
# ### Exercise 1.2: three places for places
#
# PI-VQ has positional embeddings on the cells of the encoder, has output embeddings in the decoder, and has none on the codes. What would be lost without the first? Without the second?
#
# <details><summary>Answer</summary>
#
# Without positions in the encoder, attention could not tell the cells apart except by their content: a face whose cells are shuffled would get the same codes. (The convolutions still see small neighbourhoods, and feel the border.) Without different output embeddings, all queries of the decoder would ask the same question and get the same answer: a grid of equal cells, which the convolutions turn into one flat texture.
#
# </details>

# %% [markdown]
# ### Exercise 1.3: predict, then think
#
# Suppose the codes had learned positions, one for each place in the latent order, and the model were trained like that. Would its reconstructions be better? What could you no longer do?
#
# <details><summary>Answer</summary>
#
# Reconstructions hardly change. With learned tokens, latent $l$ always comes from token $l$, and its codes already say so ([notebook 04](04_capacity.ipynb)), so places tell the decoder little that is new. What is lost is the set: a code of another face fits only in its own place, and Algorithm 1, which takes codes without asking where they stood, has no meaning any more. Tried with the default sizes for 500 steps on 1,500 drawn faces, one seed: held-out L1 0.085 with places and 0.083 without; with shuffled codes 0.146 and 0.083.
#
# To try it, add places to what the decoder gets, `decoder(vectors + places)`, before the training begins. They become weights of the decoder, so they are trained, averaged and copied with it:
#
# ```python
# import copy
#
# from pivq.optimizers import Optimizers
# from pivq.runs.branching import make_trainer
#
# short = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=500)
# trainer = make_trainer(short, "matching", load_split(short, "train").images, "cpu")
# decoder, size = trainer.model.decoder, (short.model.num_codes, short.model.dim)
# decoder.places = torch.nn.Parameter(0.02 * torch.randn(size))
# decoder.register_forward_pre_hook(lambda module, given: tuple(vectors + module.places for vectors in given))
# trainer.ema = copy.deepcopy(trainer.model).requires_grad_(False).eval()
# trainer.optimizers = Optimizers(trainer.model, short.train)
# trainer.fit()
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **Attention.** A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. N. Gomez, Ł. Kaiser, I. Polosukhin: Attention Is All You Need. NeurIPS 2017. [arXiv:1706.03762](https://arxiv.org/abs/1706.03762).
# - **Networks on sets.** J. Lee, Y. Lee, J. Kim, A. R. Kosiorek, S. Choi, Y. W. Teh: Set Transformer. ICML 2019. [arXiv:1810.00825](https://arxiv.org/abs/1810.00825).
# - **VQ-VAE.** A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation Learning. NeurIPS 2017. [arXiv:1711.00937](https://arxiv.org/abs/1711.00937).
# - **VQ-GAN.** P. Esser, R. Rombach, B. Ommer: Taming Transformers for High-Resolution Image Synthesis. CVPR 2021. [arXiv:2012.09841](https://arxiv.org/abs/2012.09841).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures. They depend on the configuration alone.

# %%
facts = stamp(config, model=run.folder.name if run else "untrained")
display(facts_table(facts))

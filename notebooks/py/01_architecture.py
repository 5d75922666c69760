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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pi-vq/companion/blob/main/notebooks/01_architecture.ipynb)
#
# **Claim that is tested here.** The decoder of PI-VQ gets its codes as a set: "positional embeddings are not applied to the latent codes before decoding: as a result, the decoder is invariant to permutation of the latent codes" (Section 3.2, Fig. 2).
#
# | | |
# |---|---|
# | needs | the faces (notebook 00); the trained matching model of notebook 03 if there is one, else an untrained one: the claim is about the architecture |
# | makes | `fig2_architecture`, `parameters` in `figures/<profile>/` |
# | cost | 0.3 minutes; 1.5 GB of memory |

# %% [markdown]
# So that `import pivq` works: a notebook opened in a checkout finds it there; one opened by itself, as on Colab, fetches the project and installs what is missing, leaving Colab's torch and numpy as they are. Nothing is mounted.
#
# *On Colab, to keep runs and checkpoints through a disconnect*, do this before the next cell: `from google.colab import drive; drive.mount("/content/drive"); import os; os.environ["PIVQ_ROOT"] = "/content/drive/MyDrive/pivq"`; a training then goes on from its last checkpoint. *To bring CelebA*, put `img_align_celeba.zip`, `list_attr_celeba.txt` and `list_eval_partition.txt` into a folder there, and give it as `data`, with `profile = "celeba64"`, in the parameters below.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("pivq") is None:
    clone = Path.cwd() / "companion"
    checkout = next((folder for folder in (clone, *Path.cwd().parents) if (folder / "pivq").is_dir()), clone)
    if checkout == clone:
        if not (clone / "pivq").is_dir():
            subprocess.run(["git", "clone", "--depth", "1", "https://github.com/pi-vq/companion", clone], check=True)
        subprocess.run([sys.executable, clone / "notebooks" / "colab.py"], check=True)  # again, if it failed before
    sys.path.insert(0, str(checkout))

# %% [markdown]
# The parameters. Everything here is computed anew each time, so `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
force = False

# %% [markdown]
# Imports, the configuration and the style of all figures.

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
from pivq.inference import latents_in_batches
from pivq.model import PIVQ
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import find_run
from pivq.runs.splits import load_split

config = load_config(profile, seed, data)
seed_everything(seed)
use_style()

# %% [markdown]
# Eight held-out faces to look at.

# %%
heldout = load_split(config, "heldout")
images = torch.stack([heldout[i] for i in range(8)])

# %% [markdown]
# ## The architecture (Fig. 2)
#
# Drawn by code from this profile's configuration, so every number in it is the number that runs.

# %%
figure = draw_architecture(config.model, image=as_pixels(images)[0])
save_figure(figure, "fig2_architecture", profile, caption(config));

# %% [markdown]
# **What to look at.** Follow the numbers in the squares: a number means that the token knows its place.
#
# 1. *Encoder.* Convolutions shrink the image to a small grid. Its cells become a sequence, each with a positional embedding, and the learned tokens are appended. In the transformer every token looks at every other; what stands at the learned tokens' places afterwards are the latents. Each learned token can gather from *anywhere* in the image: a code need not stand for a place.
# 2. *Quantizer.* Each latent is replaced by a vector of the codebook: the nearest (Eq. 1), or, by matching (Eq. 3), one that no other latent of the image has. Notebook 02 is about this step.
# 3. *Decoder.* The code vectors arrive **without numbers**. The learned output embeddings have places, they ask, and their answers are reshaped to the grid that the convolutions turn into an image.
#
# The image is all there is on the way in and on the way out. In between there is a set.

# %% [markdown]
# The model: the trained one if notebook 03 has left it, else one with random weights, whose codebook holds latents that its encoder makes of some held-out faces.

# %%
run = find_run(config, "matching")
model = run.model() if run else PIVQ(config.model, "matching").eval()
if not run:
    latents = torch.cat(list(latents_in_batches(model, heldout.images[8:108]))).flatten(0, 1)
    with torch.no_grad():
        model.quantizer.codebook.copy_(latents[torch.randperm(len(latents))[: config.model.codebook_size]])
display(Markdown("The trained matching model." if run else "No finished run yet: an untrained model, so its images are no faces."))

# %% [markdown]
# ## Where the parameters are

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
counts = {part: sum(p.numel() for name, p in model.named_parameters() if name.startswith(start)) for part, start in parts.items()}
total = sum(p.numel() for p in model.parameters())
assert sum(counts.values()) == total, "a parameter belongs to no part"
table = pd.DataFrame({"part": [*counts, "all"], "parameters": [*counts.values(), total]})
table["share"] = [f"{count / total:.1%}" for count in table["parameters"]]
save_table(table, "parameters", profile, caption(config))
display(table.style.format({"parameters": "{:,}"}).hide(axis="index"))

# %% [markdown]
# **What to look at.** The codebook is a small part of the model. And there is no entry "decoder: positional embeddings of the codes": the table shows the claim as much as the figure does.

# %% [markdown]
# ## Shuffled codes, the same image
#
# The claim on the running model: encode the faces, decode their codes in latent order and in random orders, and take the greatest difference of any pixel on the scale from 0 to 1.

# %%
orders = 20
generator = torch.Generator().manual_seed(seed)
codes = model.encode(images)
decoded = model.decode(codes)
differences = []
for _ in range(orders):
    order = torch.randperm(codes.shape[1], generator=generator)
    differences.append(float((model.decode(codes[:, order]) - decoded).abs().max()))
shuffled = model.decode(codes[:, order])
assert max(differences) < 1e-5, f"decoding depends on the order of the codes: {max(differences):.1e}"
display(Markdown(
    f"Codes of the first face, in latent order: {codes[0].tolist()}  \n"
    f"The same in the last random order: {codes[0, order].tolist()}  \n\n"
    f"Greatest difference over {orders} orders of {len(images)} faces: **{max(differences):.1e}**. "
    f"One step of 8-bit colour is {1 / 255:.1e}."
))

# %% [markdown]
# The rest is rounding: sums of the same floating-point numbers in another order. The images, and their difference enlarged a million times:

# %%
enlarged = ((shuffled - decoded).abs() * 1e6).clamp(max=1)
rows = ["image", "latent order", "shuffled", "difference\n× 1,000,000"]
plot_images(torch.cat([images, decoded, shuffled, enlarged]), columns=len(images), row_labels=rows);

# %% [markdown]
# Is the decoder perhaps just deaf to its codes? No: another code in one single place changes the image.

# %%
changed = codes.clone()
free = [next(k for k in range(config.model.codebook_size) if k not in row) for row in codes.tolist()]
changed[:, 0] = torch.tensor(free)
effect = float((model.decode(changed) - decoded).abs().max())
display(Markdown(f"One of {codes.shape[1]} codes replaced: the greatest difference is {effect:.1e}, {effect / max(differences):,.0f} times that of all the shuffling."))

# %% [markdown]
# ## Why: attention is a sum
#
# What a query gets from attention is $\sum_i \mathrm{softmax}_i(q \cdot k_i)\, v_i$: a weighted sum over tokens in which a token's weight depends on its own key alone. A sum has no order. By hand, with one query and three tokens of one number each:

# %%
query, keys, values = 1.0, np.array([0.0, 1.0, 2.0]), np.array([10.0, 20.0, 30.0])
for order in ([0, 1, 2], [2, 0, 1]):
    weights = np.exp(query * keys[order])
    weights /= weights.sum()
    terms = " + ".join(f"{weight:.3f} · {value:.0f}" for weight, value in zip(weights, values[order], strict=True))
    print(f"tokens {order}: {terms} = {weights @ values[order]:.3f}")

# %% [markdown]
# Everything else in a transformer (norms, feed-forward networks) works on each token by itself. So permuting the inputs of a layer permutes its outputs, and the outputs that are kept, those of the output embeddings, stay as they are. The encoder is made of the same layers; what gives *it* a sense of place are its positional embeddings and its convolutions. So the order of the *codes* is free, but not that of the pixels: count the codes that a face shares with its mirror image.

# %%
mirrored = model.encode(images.flip(3))
common = [len(set(a) & set(b)) for a, b in zip(codes.tolist(), mirrored.tolist(), strict=True)]
display(Markdown(f"In common with the mirror image: {np.mean(common):.1f} of {codes.shape[1]} codes on average."))

# %% [markdown]
# ## The counter-example: give the codes places
#
# Now the same decoder with positional embeddings on its codes, as a conventional VQ model would have them: a random vector for each place, as long as the code vectors are, added before decoding. Again in latent order and shuffled.

# %%
vectors = F.embedding(codes, model.quantizer.codebook)
places = torch.randn(vectors.shape[1:], generator=generator) * vectors.std()
order = torch.randperm(codes.shape[1], generator=generator)
with torch.no_grad():
    placed = model.decoder(vectors + places).clamp(0, 1)
    placed_shuffled = model.decoder(vectors[:, order] + places).clamp(0, 1)
broken = float((placed_shuffled - placed).abs().max())
assert broken > 100 * max(differences), "positions on the codes should have broken the invariance"
display(Markdown(
    f"Greatest difference with positions on the codes: **{broken:.2f}**; without: {max(differences):.1e}. "
    "The invariance is gone."
))

# %% [markdown]
# As pictures (the model was not made for positions on its codes, so compare the two rows with each other, not with the faces):

# %%
rows = ["with positions,\nlatent order", "with positions,\nshuffled", f"difference\n× {1 / broken:.1f}"]
difference = (placed_shuffled - placed).abs() / broken
plot_images(torch.cat([placed, placed_shuffled, difference]), columns=len(images), row_labels=rows);

# %% [markdown]
# **What this buys and what it costs.** With a set, two faces can be mixed by mixing their codes (notebook 05): no code has to fit its neighbours, because it has none. The price is information: of the $L!$ orders of $L$ different codes all are one (notebook 04 counts the bits).

# %% [markdown]
# ## Provenance
#
# What made this notebook's figures; they depend on the configuration alone.

# %%
display(stamp(config, model=run.folder.name if run else "untrained"))

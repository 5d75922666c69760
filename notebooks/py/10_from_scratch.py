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
# # 10 · The method from scratch
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/10_from_scratch.ipynb)
#
# **What this is.** The whole method of [the paper](https://arxiv.org/abs/2604.01843) in about 150 plain lines, each piece next to its equation: both quantizers, the decoder that knows no order, one training step, Algorithm 1, and the capacities. Nothing here is fast or checked for bad input. Each piece is compared with the package on a trained model, and the notebook fails if they differ.
#
# **Afterwards you can**
#
# - say why nearest quantization repeats codes and matching cannot;
# - write a transformer layer whose tokens have no places, and say why their order cannot matter;
# - pass a gradient through a step that has none;
# - make a third set of two, and count how many sets there are.
#
# | | |
# |---|---|
# | needs | the faces ([notebook 00](00_meet_the_faces.ipynb)), and a model: that of [notebook 03](03_train.ipynb), or the one that comes with the project |
# | makes | nothing that is kept |

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
# The next cell imports what is needed. The method itself uses only `math`, `torch` and scipy's solver; the other imports show it, or are compared with it.

# %%
import copy
import math

import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

from pivq import capacity
from pivq.config import load_config
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.matching import match
from pivq.quantizers import QUANTIZERS
from pivq.runs.branching import make_trainer
from pivq.runs.provenance import seed_everything, stamp
from pivq.runs.shipped import model_to_show
from pivq.runs.splits import load_split
from pivq.sampling import interpolate

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# The trained model, and eight held-out faces. Its parts are used below by their weights alone.

# %%
model, all_codes, which = model_to_show(config)
heldout = load_split(config, "heldout")
images = torch.stack([heldout[i] for i in range(8)])  # x: (B, 3, H, W) in [0, 1]
B, L, K, d = len(images), config.model.num_codes, config.model.codebook_size, config.model.dim
sizes = f"B = {B} images, L = {L} latents each, K = {K} codes, d = {d} numbers in a vector"
display(Markdown(f"{which} {sizes}."))

# %% [markdown]
# ## 1. The encoder's latents
#
# The encoder turns an image into $L$ vectors, its *latents* $z_e \in \mathbb{R}^{L \times d}$: convolutions make a grid of cells, each cell gets a positional embedding, $L$ learned tokens are appended, and a transformer lets every token read all cells. Its outputs for the tokens are the latents (Section 3.2, step 1). This part is ordinary, so it is taken as it is.

# %%
with torch.no_grad():
    latents = model.encoder(images)  # z_e: (B, L, d)
codebook = model.quantizer.codebook.detach()  # e_1 … e_K: (K, d)
display(Markdown(f"Latents {tuple(latents.shape)}, codebook {tuple(codebook.shape)}."))

# %% [markdown]
# ## 2. Nearest quantization, Eq. (1)
#
# Each latent is replaced by the code that is nearest to it:
#
# $$c_l = \arg\min_{k} \lVert z_l - e_k \rVert_2, \qquad l = 1, \dots, L.$$
#
# No latent knows what the others take, so two of them may take one code.

# %%
def nearest(latents, codebook):
    distances = torch.cdist(latents, codebook)  # (B, L, K)
    return distances.argmin(dim=2)  # (B, L)


def different(codes):
    return [len(set(row)) for row in codes.tolist()]


package = QUANTIZERS["nearest"](K, d)
package.codebook.data = codebook
assert torch.equal(nearest(latents, codebook), package.codes(latents))
together = torch.randn(1, L, d) + 3 * torch.randn(1, 1, d)  # latents that are alike, of no image
display(Markdown(
    f"Different codes of each face, of {L}: {different(nearest(latents, codebook))}. "
    f"Of {L} made-up latents that are alike: {different(nearest(together, codebook))}."
))

# %% [markdown]
# ## 3. Matching quantization, Eq. (3)
#
# Matching gives the latents of an image codes that all differ, and of all ways to do so takes the one with the least total distance: a minimum-cost assignment of $L$ latents to $K$ codes,
#
# $$\min_{P} \; \sum_{l=1}^{L} \sum_{k=1}^{K} P_{lk} \, \lVert z_l - e_k \rVert_2 \quad \text{with } P_{lk} \in \{0, 1\}, \; \sum_k P_{lk} = 1, \; \sum_l P_{lk} \le 1.$$
#
# scipy solves it. ([Notebook 02](02_matching_quantization.ipynb) writes it out as the trace that the paper has; the package has a faster solver that is as exact.)

# %%
def matching(latents, codebook):
    distances = torch.cdist(latents, codebook)  # (B, L, K)
    rows = [linear_sum_assignment(table)[1].tolist() for table in distances]  # of each image
    return torch.tensor(rows)  # (B, L)


for vectors in (latents, together):
    codes, distances = matching(vectors, codebook), torch.cdist(vectors.double(), codebook.double())
    totals = [distances.gather(2, c[:, :, None]).sum() for c in (codes, match(distances))]
    assert_close(*totals)  # the same cost: both are optimal
    assert all(count == L for count in different(codes))
count = different(matching(together, codebook))[0]
display(Markdown(f"The made-up latents get {count} different codes of {L}."))

# %% [markdown]
# ## 4. Straight through
#
# The decoder sees the codes' vectors $z_c = (e_{c_1}, \dots, e_{c_L})$. But choosing has no gradient: move a latent a little, and its code stays. The *straight-through estimator* therefore copies the gradient at $z_c$ to $z_e$, as if quantization were the identity. With the stop-gradient $\mathrm{sg}[\cdot]$, which is `detach`:
#
# $$\tilde z = z_e + \mathrm{sg}[z_c - z_e], \qquad \mathcal{L}_\text{codebook} = \lVert \mathrm{sg}[z_e] - z_c \rVert^2, \qquad \mathcal{L}_\text{commitment} = \lVert z_e - \mathrm{sg}[z_c] \rVert^2.$$
#
# The *codebook loss* moves codes to the latents, the *commitment loss* holds latents to their codes. Their values are equal; their gradients are not.

# %%
def quantize(latents, codebook, choose):
    codes = choose(latents.detach(), codebook.detach())  # (B, L)
    chosen = codebook[codes]  # z_c: (B, L, d)
    straight = latents + (chosen - latents).detach()
    codebook_loss = F.mse_loss(chosen, latents.detach())
    commitment_loss = F.mse_loss(latents, chosen.detach())
    return straight, codes, codebook_loss, commitment_loss


moved = latents.clone().requires_grad_()
straight, codes, *losses = quantize(moved, codebook, matching)
straight.sum().backward()
assert torch.equal(moved.grad, torch.ones_like(moved)), "the gradient passes unchanged"
theirs = model.quantizer(latents)
assert torch.equal(codes, theirs.codes)
their_losses = theirs.codebook_loss, theirs.commitment_loss
for ours, loss in zip((straight, *losses), (theirs.quantized, *their_losses), strict=True):
    assert_close(ours.detach(), loss)

# %% [markdown]
# ## 5. A transformer layer, and a decoder without positions
#
# Attention gives each token a weighted mean of values $v_j$, weighted by how well its query $q_i$ fits the keys $k_j$:
#
# $$\mathrm{attention}_i = \sum_j \frac{\exp(q_i \cdot k_j / \sqrt{d_h})}{\sum_{j'} \exp(q_i \cdot k_{j'} / \sqrt{d_h})} \, v_j.$$
#
# A sum over $j$ has no order. Nothing else in the layer mixes tokens. So if codes come without positional embeddings, their order cannot matter. The decoder appends learned *output embeddings*, one for each cell of the grid; they do have places, and ask the codes what belongs there. Their answers, as a grid, are what the convolutions turn into an image (Section 3.2, step 3).

# %%
def layer(tokens, weights, heads):  # tokens: (B, T, d)
    def linear(x, name):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def split(x):  # (B, T, d) to (B, heads, T, d / heads)
        return x.unflatten(2, (heads, -1)).transpose(1, 2)

    normed = norm(tokens, "norm1")
    q = split(linear(normed, "query"))
    k, v = map(split, linear(normed, "key_value").chunk(2, dim=2))
    fit = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(dim=3)  # (B, heads, T, T)
    tokens = tokens + linear((fit @ v).transpose(1, 2).flatten(2), "out")
    hidden = F.gelu(linear(norm(tokens, "norm2"), "feedforward.0"))
    return tokens + linear(hidden, "feedforward.2")  # (B, T, d)


def decode(vectors, decoder):  # (B, L, d), in any order
    outputs = decoder.outputs.expand(len(vectors), -1, -1)  # (B, h w, d)
    tokens = torch.cat([vectors, outputs], dim=1)  # (B, L + h w, d)
    for block in decoder.transformer.layers:
        tokens = layer(tokens, dict(block.named_parameters()), block.heads)
    answers = decoder.transformer.norm(tokens[:, vectors.shape[1] :])  # (B, h w, d)
    size = (decoder.grid_size, decoder.grid_size)
    grid = answers.transpose(1, 2).unflatten(2, size)  # (B, d, h, w)
    patches = decoder.conv_out(decoder.up(grid))  # (B, 3 p², H / p, W / p)
    return (F.pixel_shuffle(patches, decoder.patch_size) + 1) / 2  # x̂: (B, 3, H, W)


with torch.no_grad():
    made = decode(codebook[codes], model.decoder).clamp(0, 1)
    shuffled = decode(codebook[codes[:, torch.randperm(L)]], model.decoder).clamp(0, 1)
assert_close(made, model.decode(codes), atol=1e-4, rtol=0)
assert_close(made, shuffled, atol=1e-4, rtol=0)
rows = ["image", "decoded", "codes shuffled"]
plot_images(torch.cat([images, made, shuffled]), columns=B, row_labels=rows);

# %% [markdown]
# ## 6. One training step
#
# The autoencoder minimises five terms (Section 3.6; the last two are the base code's):
#
# $$\mathcal{L} = w_r \lVert \hat x - x \rVert_1 + w_p \, \mathrm{LPIPS}(\hat x, x) + \lambda \, G(\hat x) + w_c \, \mathcal{L}_\text{codebook} + w_e \, \mathcal{L}_\text{commitment}.$$
#
# $G = -\mathrm{mean}\, D(\hat x)$ is low where the discriminator $D$ takes the reconstruction for a real image. The *adaptive weight* $\lambda$ is the ratio of the gradients of reconstruction and of $G$ at the decoder's last layer $\theta$, and at most $\lambda_\text{max}$:
#
# $$\lambda = \min\Big(\lambda_\text{max}, \; \frac{\lVert \nabla_\theta (w_r \lVert \hat x - x \rVert_1 + w_p \mathrm{LPIPS}) \rVert}{\lVert \nabla_\theta G \rVert + 10^{-4}}\Big).$$
#
# $D$ minimises a *hinge loss*: it is 0 once real images score above 1 and reconstructions below −1,
#
# $$\mathcal{L}_D = \tfrac12 \, \mathrm{mean} \max(0, 1 - D(x)) + \tfrac12 \, \mathrm{mean} \max(0, 1 + D(\hat x)).$$
#
# The package's trainer is set to its last step with these weights, so that all terms are there. Its discriminator is new, and its augmentation (*DiffAug*, random changes of what the discriminator sees) is off, so that both steps see the same. The next cell writes the step out in plain lines.

# %%
def step(x, net, discriminator, perceptual, train):
    codebook = net.quantizer.codebook
    z, codes, codebook_loss, commitment_loss = quantize(net.encoder(x), codebook, matching)
    made = decode(z, net.decoder)  # x̂
    l1, lpips = (made - x).abs().mean(), perceptual(made, x).mean()
    G = -discriminator(made).mean()
    theta = net.decoder.conv_out.weight
    rest = train.reconstruction_weight * l1 + train.perceptual_weight * lpips
    gradients = [torch.autograd.grad(loss, theta, retain_graph=True)[0] for loss in (rest, G)]
    weight = gradients[0].norm() / (gradients[1].norm() + 1e-4)  # λ
    weight = weight.clamp(max=train.adversarial_limit)
    rest = rest + train.codebook_weight * codebook_loss + train.commitment_weight * commitment_loss
    (rest + weight * G).backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), train.gradient_clip or math.inf)
    real, fake = discriminator(x), discriminator(made.detach())
    hinge = (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
    terms = {"l1": l1, "perceptual": lpips, "adversarial": G, "adaptive_weight": weight}
    terms |= {"codebook": codebook_loss, "commitment": commitment_loss}
    return terms | {"discriminator": hinge}


# %% [markdown]
# Now both do the step, from the same weights: the lines above, and the package. All terms and all gradients must agree. They are computed in double precision: in single precision rounding turns the sign of tiny errors, and the gradient of L1 is made of signs. The last line is the *EMA*, the exponential moving average of the weights: the averaged model is the one that is shown and measured.

# %%
reading = {"layout": layout, "on_error": on_error, "steps": steps}
settings = load_config(profile, seed, data, **reading, train__discriminator_augmentation=False)
trainer = make_trainer(settings, "matching", load_split(config, "train").images, "cpu")
for network in (trainer.model, trainer.ema):
    network.load_state_dict(model.state_dict())
for network in (trainer.model, trainer.ema, trainer.discriminator, trainer.perceptual):
    network.double()
trainer.step = settings.train.steps - 1
x = trainer.batch(trainer.step).double()  # (B, 3, H, W)
ours, before = copy.deepcopy(trainer.model), copy.deepcopy(trainer.ema)
terms = step(x, ours, copy.deepcopy(trainer.discriminator), trainer.perceptual, settings.train)
theirs = trainer.train_step(x)
rows = []
for name, value in terms.items():
    assert_close(value.detach(), theirs[name], rtol=1e-6, atol=1e-9)
    term = name.replace("_", " ").replace("l1", "L1")
    rows.append([term, f"{value.item():.5f}", f"{theirs[name].item():.5f}"])
for mine, made in zip(ours.parameters(), trainer.model.parameters(), strict=True):
    assert (mine.grad - made.grad).norm() <= 1e-6 * made.grad.norm() + 1e-12
beta, networks = settings.train.ema_decay, (before, trainer.model, trainer.ema)
for old, new, average in zip(*(network.parameters() for network in networks), strict=True):
    assert_close(beta * old + (1 - beta) * new, average)
display(styled(pd.DataFrame(rows, columns=["term", "plain lines", "package"])))

# %% [markdown]
# Left out is *when* things happen. Before $T_q$ the decoder sees the latents themselves, at $T_q$ the codebook is fitted to the latents of the last $W$ steps by k-means, and the discriminator starts later still (Section 3.7). [Notebook 03](03_train.ipynb) shows what each is worth.

# %% [markdown]
# ## 7. Algorithm 1: two sets make a third
#
# Let $C_a$ and $C_b$ be the codes of two images, $C_c = C_a \cap C_b$ what they share, and $C_d = C_a \mathbin{\triangle} C_b$ what only one has; $C_d$ has $2 |R|$ codes, $|R|$ from each. A sample keeps $C_c$ and gets any $|R|$ of $C_d$:
#
# $$C_s = C_c \cup S, \qquad S \subset C_d \text{ drawn at random}, \; |S| = |R|, \; \text{so } |C_s| = L.$$
#
# One pass of the decoder makes it an image. The package draws its random numbers for both sets written one after the other in ascending order; the cell below does so too, and gets the same sample.

# %%
def recombine(a, b, generator):
    written = sorted([*a, *b])  # 2 L codes; shared ones stand there twice
    draws = torch.rand(len(written), dtype=torch.float64, generator=generator).tolist()
    shared, differing = set(a) & set(b), set(a) ^ set(b)
    by_lot = sorted(differing, key=lambda code: draws[written.index(code)])
    return sorted(shared | set(by_lot[: len(by_lot) // 2]))


a, b = all_codes[0].tolist(), all_codes[1].tolist()
samples = torch.tensor([recombine(a, b, torch.Generator().manual_seed(i)) for i in range(6)])
for i, sample in enumerate(samples):
    theirs = interpolate(torch.tensor([a]), torch.tensor([b]), torch.Generator().manual_seed(i))
    assert sample.tolist() == theirs[0].tolist() and len(set(sample.tolist())) == L
parents = model.decode(torch.tensor([a, b]))
pictures = torch.cat([parents[:1], model.decode(samples), parents[1:]])
titles = ["parent a", *(f"sample {i}" for i in range(6)), "parent b"]
plot_images(pictures, columns=8, titles=titles)
display(Markdown(f"The parents share {len(set(a) & set(b))} of {L} codes."))

# %% [markdown]
# ## 8. How many sets are there? Eqs. (2) and (4)
#
# Matching makes sets of $L$ different codes out of the $K_\text{data}$ codes that are in use, Eq. (4):
#
# $$\mathcal{B}_\text{matching} = \log_2 \binom{K_\text{data}}{L}.$$
#
# Nearest repeats codes. If at most $K_\text{img}$ of an image's codes differ, choose these, then share $L$ uses among them, Eq. (2):
#
# $$\mathcal{B}_\text{nearest} = \log_2 \left[ \binom{K_\text{data}}{K_\text{img}} \binom{L + K_\text{img} - 1}{K_\text{img} - 1} \right].$$
#
# A list with places would hold $L \log_2 K$ bits. What a set cannot say is the order of its codes, $\log_2 L!$ bits.

# %%
def bits(count):
    return math.log2(count)  # of a whole number of any size


K_data = len(set(all_codes.flatten().tolist()))
K_img = min(49, L, K_data)  # the paper's 49, where L allows it
eq_4 = bits(math.comb(K_data, L))
eq_2 = bits(math.comb(K_data, K_img) * math.comb(L + K_img - 1, K_img - 1))
assert_close(eq_4, capacity.matching_bits(K_data, L))
assert_close(eq_2, capacity.nearest_bits(K_data, K_img, L))
rows = [
    ["L codes with places, L log₂ K", L * math.log2(K)],
    ["their order, log₂ L!", bits(math.factorial(L))],
    [f"Eq. (4), K_data = {K_data}", eq_4],
    [f"Eq. (2), K_data = {K_data}, K_img = {K_img}", eq_2],
]
display(styled(pd.DataFrame(rows, columns=["", "bits"]), precision=1))

# %% [markdown]
# ## Summary
#
# An image becomes $L$ latents, a minimum-cost matching turns them into $L$ different codes, and a decoder that only ever sums over codes turns the set back into an image. Because no code has a place, any $L$ codes are a valid input, and recombining two images needs no model of the codes. [Notebook 02](02_matching_quantization.ipynb) shows what matching does to real vectors, [notebook 05](05_interpolation.ipynb) what recombination does to faces, [notebook 09](09_when_codes_compete.ipynb) when matching matters.
#
# Next: [notebook 11](11_better_samples.ipynb) changes the sampler alone.

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **Vector quantization with straight-through gradients.** A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation Learning. NeurIPS 2017. [arXiv:1711.00937](https://arxiv.org/abs/1711.00937).
# - **The adaptive weight and the hinge loss.** P. Esser, R. Rombach, B. Ommer: Taming Transformers for High-Resolution Image Synthesis. CVPR 2021. [arXiv:2012.09841](https://arxiv.org/abs/2012.09841).
# - **Attention.** A. Vaswani et al.: Attention Is All You Need. NeurIPS 2017. [arXiv:1706.03762](https://arxiv.org/abs/1706.03762).
# - **The assignment problem.** H. W. Kuhn: The Hungarian Method for the Assignment Problem. Naval Research Logistics Quarterly 2, 1955.

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(facts_table(stamp(config, config.train.steps, model=which)))

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
# # 02 · Matching quantization
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/02_matching_quantization.ipynb)
#
# **Claim that is tested here.** Nearest-neighbour quantization, Eq. (1), may give several latents of an image the same code, and in a set a repeated code says little. Matching quantization, Eq. (3), "ensures that no two embedding vectors are mapped to the same codebook element in a given image" (Section 3.4, Fig. 3), at the least total distance.
#
# **Afterwards you can**
#
# - state Eqs. (1) and (3), and work both out by hand on a small table of distances;
# - say why greedy assignment is no substitute for the optimal matching;
# - write the straight-through gradient, and the two losses that move codes and latents;
# - say when the two quantizers give the same codes, and when they cannot.
#
# Read with it: Sections 3.3 and 3.4 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the faces ([notebook 00](00_meet_the_faces.ipynb)); one section also uses the trained models of [notebook 03](03_train.ipynb), if there are any |
# | makes | `matching_example`, `fig3_matching`, `patches`, `matching_totals` in `figures/<profile>/` |

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
from itertools import permutations
from math import isclose

import pandas as pd
import torch
from IPython.display import Markdown, display
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA

from pivq.codebook_init import fit_codebook
from pivq.config import load_config
from pivq.data import from_uint8
from pivq.figures.artefacts import save_figure, save_table
from pivq.figures.charts import plot_totals
from pivq.figures.diagrams import draw_matching
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.figures.teaching import draw_example
from pivq.matching import greedy, match
from pivq.runs.competition import describe
from pivq.runs.models import models
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import find_run
from pivq.runs.shipped import shipped_run, which
from pivq.runs.splits import load_split
from pivq.runs.teaching.example import distance_table, number, work_out
from pivq.runs.teaching.exercises import (
    check_greedy,
    check_matching,
    check_nearest,
    check_straight_through,
    check_worst_table,
)
from pivq.runs.untrained import untrained_model

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# ## Nearest, Eq. (1)
#
# The encoder gives an image $L$ latents $z_0, \dots, z_{L-1} \in \mathbb{R}^d$. A codebook has $K$ vectors $e_0, \dots, e_{K-1} \in \mathbb{R}^d$. *Vector quantization* replaces each latent by a vector of the codebook; the number of that vector is its code $c$. The usual rule, that of VQ-VAE, takes the nearest:
#
# $$c_l = \arg\min_j \lVert z_l - e_j \rVert_2. \tag{1}$$
#
# Each latent decides for itself, so several may take the same code. This is the assignment step of k-means, with the codes as centres.
#
# ## An example to follow by hand
#
# Here is an image with a few latents, and a small codebook. **Change the numbers and run this section again**: more latents or codes, whole numbers, or pairs such as `[0.5, 2]` for points in a plane. All that matters is the table of distances $D_{lk} = \lVert z_l - e_k \rVert_2$, with the shape $L \times K$:

# %%
latents = [0.0, 1.0]
codebook = [0.9, -3.0]
example = work_out(latents, codebook)
display(distance_table(example.distances))

# %% [markdown]
# **Nearest** takes the smallest number of each row; as code, `distances.argmin(dim=1)`.

# %%
display(Markdown(example.say("nearest")))

# %% [markdown]
# In a set, a repeated code says little. So let no code be used twice. **Greedy** is the first idea: go through the latents in order, and each takes the nearest code that is still free.

# %%
display(Markdown(example.say("greedy")))

# %% [markdown]
# **Matching** looks at the whole table. Of all ways to give each latent a code of its own it takes the one with the least total. With $L$ latents and $K$ codes there are $K!/(K-L)!$ ways:

# %%
sentence, ways = example.ways()
display(Markdown(sentence), styled(ways))
display(Markdown(example.say("matching")))

# %% [markdown]
# For the sizes of a real model the ways are far too many to list: 32 latents and 512 codes have more than $10^{86}$. The *Hungarian algorithm* finds the best without listing them. In the figure, squares are codes, open if no latent takes them, and dots are latents.

# %%
titles = {"nearest": "nearest, Eq. (1)", "greedy": "greedy, first come"}
titles |= {"matching": "matching, Eq. (3)"}
figure = draw_example(
    example.latents,
    example.codebook,
    {titles[name]: codes for name, codes in example.codes.items()},
)
save_figure(figure, "matching_example", config, "an example made up to be followed by hand");

# %% [markdown]
# Try the next two on paper before you run the cell: which codes does nearest give, which does matching?

# %%
examples = {"first": ([1.1, 4.9], [5.0, 0.0, 1.0]), "second": ([0.1, 0.2], [0.0, 1.0, 10.0])}
rows = [
    [f"{name}: latents {points}, codes {centres}", work_out(points, centres)]
    for name, (points, centres) in examples.items()
]
display(Markdown("\n".join(
    f"- {name}. {made.say('nearest')} {made.say('matching')}" for name, made in rows
)))

# %% [markdown]
# ## Eq. (3), and its shapes
#
# The paper writes: find "the optimal permutation $P \in \{0, 1\}^{K \times K}$ of the distance matrix $D \in \mathbb{R}^{K \times L}$ where $D_{ij}$ is the euclidean distance between the codebook entry $i$ and latent embedding $j$",
#
# $$P^* = \arg\min_P \text{Tr}(PD), \tag{3}$$
#
# and read the code of latent $j$ from the row of the 1 in column $j$ of $P$. As printed, this has no meaning: $K \times K$ times $K \times L$ is $K \times L$, and only a square matrix has a trace. What is meant, and solved here, has a *selection* $P$ with a row for each latent and a column for each code:
#
# $$P^* = \arg\min_{P \in \{0, 1\}^{L \times K}} \text{Tr}(PD) = \arg\min_P \sum_{l} \sum_{k} P_{lk} D_{kl}, \qquad \sum_k P_{lk} = 1 \text{ for each latent } l, \qquad \sum_l P_{lk} \le 1 \text{ for each code } k.$$
#
# Each latent takes one code, and no code is taken twice. Now $PD$ is $L \times L$, entry $(l, l)$ is the distance from latent $l$ to its code, and the trace is their sum. The code of latent $l$ is the *column* of the 1 in *row* $l$: with the paper's $D$, the selection is the transpose of the one that its text describes. The next cell does this for the second of these examples, and compares all selections:

# %%
made = work_out(*examples["second"])
D = made.distances.T  # (K, L), as in the paper
size, length = D.shape
selections = [
    torch.eye(size, dtype=D.dtype)[list(way)] for way in permutations(range(size), length)
]
traces = [float(torch.trace(P @ D)) for P in selections]  # each P is (L, K)
best = selections[traces.index(min(traces))]
assert isclose(min(traces), made.total("matching"), abs_tol=1e-9)
display(Markdown(
    rf"With $K = {size}$ and $L = {length}$ there are {len(selections)} selections. The best has "
    rf"$\text{{Tr}}(PD) = {min(traces):.1f}$ and gives the codes "
    f"{best.argmax(dim=1).tolist()}; the others have "
    f"{', '.join(f'{value:.1f}' for value in sorted(traces)[1:]) or 'nothing'}."
))
display(Markdown("$D$, $K \\times L$:"), distance_table(made.distances).T)
display(Markdown("The best $P$, $L \\times K$:"), distance_table(best))

# %% [markdown]
# One more detail: the cost is the distance, **not its square**. For the nearest code that makes no difference. For the matching it can, because a square counts one long distance more than two middling ones:

# %%
table = torch.tensor([[3.0, 2.0], [2.0, 0.9]])
display(distance_table(table))
plain, squared = match(table).tolist(), match(table**2).tolist()
verdict = "the same codes" if plain == squared else f"the codes {squared}"
display(Markdown(
    f"Matching takes the codes {plain}; with squared distances it would take {verdict}."
))

# %% [markdown]
# ## The gradient goes straight through
#
# $\arg\min$ has no useful gradient: a small change of a latent changes no code. Training still needs one: the loss comes after the quantizer, and the encoder before it. The **straight-through estimator** copies the gradient of the decoder's input $z_c$ to the encoder's output $z_e$, as if the quantizer were not there. With $\mathrm{sg}$ ("stop gradient": the value, but without a gradient; in PyTorch `.detach()`) and the code vector $e_c$ of each latent:
#
# $$z_c = z_e + \mathrm{sg}[e_c - z_e].$$
#
# Forward this *is* $e_c$. Backward only the first term counts, and its derivative is 1. The codebook gets no gradient this way, and nothing keeps latents near their codes, so two losses are added (means over all numbers; their weights are in [notebook 03](03_train.ipynb)): the **codebook loss** moves each code to its latents, and the **commitment loss** holds the latents to their codes:
#
# $$\ell_\text{codebook} = \lVert \mathrm{sg}[z_e] - e_c \rVert_2^2, \qquad \ell_\text{commitment} = \lVert z_e - \mathrm{sg}[e_c] \rVert_2^2.$$
#
# Both have the same value and different gradients. The next cell computes all three with latents and codes of the example, and with $\lVert z_c - 2 \rVert^2$ in place of a decoder's loss.

# %%
z_e = example.latents.clone().requires_grad_()  # (L, d)
book = example.codebook.clone().requires_grad_()  # (K, d)
e_c = book[example.codes["matching"]]  # (L, d)
z_c = z_e + (e_c - z_e).detach()  # straight through
losses = {"decoder, straight through": (z_c - 2).square().sum()}
losses |= {"decoder, without sg[·]": (e_c - 2).square().sum()}
losses |= {"codebook loss": (z_e.detach() - e_c).square().mean()}
losses |= {"commitment loss": (z_e - e_c.detach()).square().mean()}
rows = []
for name, loss in losses.items():
    to = torch.autograd.grad(loss, (z_e, book), retain_graph=True, allow_unused=True)
    norms = ["none" if of is None else number(float(of.norm())) for of in to]
    rows.append([name, number(loss.item()), *norms])
columns = ["loss", "value", "gradient at the latents (norm)", "gradient at the codebook (norm)"]
display(styled(pd.DataFrame(rows, columns=columns)))

# %% [markdown]
# **What to look at.** Without the straight-through line the decoder's loss never reaches the latents: the encoder would not learn from it. With it, the gradient arrives unchanged, although $z_e$ and $z_c$ differ: it is an *estimate*, and it gets worse as the distance from a latent to its code grows.

# %% [markdown]
# ## Real vectors in a plane (Fig. 3)
#
# To show the two quantizers at work, take latents that can be drawn. A face is cut into 16 patches. Each patch is described by two numbers: its position in the plane in which patches of all faces vary most (the first two principal components). The codebook is fitted to the patches of many faces as the paper fits it, by *k-means* with *k-means++* seeding: the first centres are drawn from the points, each with a probability in proportion to its squared distance from the centres so far, so that they spread over the data. The distances in the figure are the distances that count.

# %%
train = load_split(config, "train")
faces = from_uint8(train.images[: min(1000, len(train))])
side = config.model.image_size // 4
patches = faces.unfold(2, side, side).unfold(3, side, side)  # (N, 3, 4, 4, side, side)
patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(len(faces), 16, -1)
plane = PCA(2, random_state=seed).fit(patches.flatten(0, 1).numpy())
points = torch.tensor(plane.transform(patches.flatten(0, 1).numpy()), dtype=torch.float32).reshape(
    len(faces), 16, 2
)
codebook = fit_codebook(points.flatten(0, 1), codebook_size=32, seed=seed)
held = plane.explained_variance_ratio_.sum()
display(
    Markdown(
        f"{len(faces):,} faces, 16 latents each, {len(codebook)} codes; the plane holds {held:.0%} "
        "of the variance."
    )
)

# %% [markdown]
# The next cell quantizes all of them both ways, and counts the different codes of each face.

# %%
distances = torch.cdist(points, codebook)
nearest, matched = distances.argmin(dim=2), match(distances)
distinct = torch.tensor([len(set(row)) for row in nearest.tolist()])
assert all(len(set(row)) == 16 for row in matched.tolist()), "matching must not repeat a code"
display(Markdown(
    f"Of 16 latents, nearest makes **{distinct.float().mean():.1f}** different codes on average "
    f"(from {distinct.min()} to {distinct.max()}); matching always 16."
))

# %% [markdown]
# The figure shows one face. Of those with the typical count, it is the one whose patches lie farthest apart, so that they can be told apart.

# %%
typical = torch.nonzero(distinct == distinct.median()).squeeze(1)
one = int(typical[points[typical].std(dim=1).sum(dim=1).argmax()])
titles = {"nearest, Eq. (1)": nearest[one].numpy(), "matching, Eq. (3)": matched[one].numpy()}
figure = draw_matching(points[one].numpy(), codebook.numpy(), titles)
for axes in figure.axes[:2]:
    axes.set(xlabel="first principal component", ylabel="second principal component")
note = f"latents: 16 patches of the face {train.ids[one]} in the plane of two principal components"
save_figure(figure, "fig3_matching", config, caption(config, note=f"{note}; codes: k-means"));

# %% [markdown]
# Here are the face and its 16 patches, in the order of the latents, each with its two codes:

# %%
plot_images(faces[one : one + 1], columns=1)
both = zip(nearest[one].tolist(), matched[one].tolist(), strict=True)
titles = [f"nearest {a}, matching {b}" for a, b in both]
figure = plot_images(patches[one].reshape(16, 3, side, side), columns=8, titles=titles)
note = f"16 patches of the face {train.ids[one]}, in the order of the latents, with their codes"
save_figure(figure, "patches", config, caption(config, note=note));

# %% [markdown]
# **What to look at.** Where latents crowd, because patches look alike, nearest sends several to one code. Matching sends one of them there and its neighbours to the codes around. Every code of the set now says something, and crowded regions show in the set as *several* codes. The price: longer lines, a larger quantization error. The next cell measures it.

# %%
paid = distances.gather(2, matched[..., None]).squeeze(2).sum(dim=1)
least = distances.min(dim=2).values.sum(dim=1)
display(
    Markdown(
        f"Total distance of a face on average: nearest {least.mean():.2f}, matching "
        f"{paid.mean():.2f}. "
        f"In {float((nearest == matched).float().mean()):.0%} of all cases matching gives a latent "
        "its nearest code anyway."
    )
)

# %% [markdown]
# ## Why greedy is not enough
#
# Greedy never repeats a code either, and needs no Hungarian algorithm. There are two ways to be greedy: *first come* (latents in order, as above), and *cheapest pair first* (always the closest pair of a free latent and a free code). The next cell applies both to all these faces.

# %%
ways = {
    "greedy, first come": greedy(distances),
    "greedy, cheapest pair first": greedy(distances, cheapest_first=True),
}
totals = {}
for name, codes in ways.items():
    of_latents = distances.gather(2, codes[..., None]).squeeze(2).unbind(1)
    totals[name] = sum(of_latents).numpy()
optimal = paid.numpy()
assert all((values >= optimal - 1e-4).all() for values in totals.values()), (
    "nothing can be below the optimum"
)

# %% [markdown]
# The figure shows how much more than the optimum each pays:

# %%
figure = plot_totals(optimal, totals)
note = f"{len(faces):,} faces, 16 latents, {len(codebook)} codes"
save_figure(figure, "matching_totals", config, caption(config, note=note))
totals["matching"] = optimal
table = pd.DataFrame(
    {
        "method": list(totals),
        "mean total distance": [float(values.mean()) for values in totals.values()],
        "mean excess": [f"{(values / optimal - 1).mean():.1%}" for values in totals.values()],
        "faces above the optimum": [
            f"{(values > optimal + 1e-4).mean():.0%}" for values in totals.values()
        ],
    }
)
save_table(table, "matching_totals", config, caption(config, note=note))
display(styled(table, {"mean total distance": "{:.2f}"}))

# %% [markdown]
# A larger total is one thing. Worse, *first come* depends on which latent comes first. If the latents are shuffled, greedy finds another **set** of codes for the same face; matching finds the same set, and each latent keeps its code. A representation that is meant to have no order must not depend on one.

# %%
generator = torch.Generator().manual_seed(seed)
order = torch.randperm(16, generator=generator)
changed = {}
for name, assign in {"greedy": greedy, "matching": match}.items():
    sets, shuffled = (
        assign(table).sort(dim=1).values for table in (distances, distances[:, order])
    )
    changed[name] = float((sets != shuffled).any(dim=1).float().mean())
display(
    Markdown(
        f"After the shuffle, greedy gives another set of codes to **{changed['greedy']:.0%}** of "
        "the faces, "
        f"matching to {changed['matching']:.1%} (only exact ties could do that)."
    )
)

# %% [markdown]
# ## The latents of PI-VQ itself
#
# Patches repeat where an image has plain regions. Do the latents of PI-VQ repeat? Each comes from a token of its own. In the paper these are *learned*; in our variant they are *drawn* anew for every image ([notebook 09](09_when_codes_compete.ipynb)). The next cell quantizes the latents of 200 faces to the nearest codes: by untrained encoders, with codebooks fitted to their latents, and by the trained models that are there (until [notebook 03](03_train.ipynb) has trained them, the one that comes with the project). When codes are counted, drawn tokens are drawn anew for every image.
#
# It also asks where the variance of the latents comes from: from the token (what all images have in common at its place), from the image (what all its latents have in common), or from both together. For this, all images get the same draw.

# %%
rows, found = [], {}
for label, job in models(config).items():
    kind, quantizer = label.split(", ")
    if quantizer == "nearest":
        encoders = {"untrained": untrained_model(job.config, train.images, "nearest")}
        if run := find_run(*job) or (kind == "learned" and shipped_run(config)):
            encoders["trained"], found[label] = run.model(), run
        for state, model in encoders.items():
            told, length = describe(model, train.images[:200]), job.config.model.num_codes
            rows.append(
                [
                    f"{kind} tokens, {state}",
                    f"{told['mean_codes_per_image_drawn']:.2f} of {length}",
                    *(
                        f"{told[name]:.1%}"
                        for name in ("agreement", "dominant_share", "token", "image", "both")
                    ),
                ]
            )
columns = ["encoder", "different codes per image, nearest", "matching and nearest agree",
           "uses by the code's main token", "variance by token", "by image", "by both"]  # fmt: skip
display(styled(pd.DataFrame(rows, columns=columns)))
display(Markdown("  \n".join(which(run) for run in found.values()) or "No model is trained."))

# %% [markdown]
# **What to look at.** If the number of different codes is close to $L$, the two quantizers rarely disagree. First check whether this holds *before* training: then it was not the training that divided the codebook. An untrained encoder's latents differ by their tokens where these have a large share of the variance; k-means then gives each token codes of its own, and nothing competes for them. That share follows from how tokens are initialised, which the paper does not say (`token_spread`, README). Tokens that are drawn anew for every image have no codes of their own.
#
# The paper reports repeats for its much larger $L$, $K$ and longer training (at most 49 different codes of 512). [Notebook 04](04_capacity.ipynb) measures the trained models on all faces and shows which token uses which code; [notebook 09](09_when_codes_compete.ipynb) asks when codes compete.

# %% [markdown]
# ## What it costs
#
# The paper solves Eq. (3) with the Hungarian algorithm, $\mathcal{O}(n^3)$ for $n = \max(L, K)$, and calls the added complexity "a necessary trade-off" (Section 3.4). How much it is depends on the latents. A latent whose nearest code no other latent wants is done. The others are assigned among the codes near them by shortest augmenting paths (`pivq/solvers/augmenting.py`), and dual prices prove each answer optimal (`pivq/matching.py`). Where all latents have nearest codes of their own, as in our models with learned tokens, the remaining work is to read the $L \times K$ distances, and nearest-neighbour quantization reads them too. Where many latents want the same few codes (the paper reports 512 latents on 49 codes with nearest), there is more to solve. [docs/performance.md](https://github.com/REPOSITORY/blob/main/docs/performance.md) compares the times with scipy's solver on made-up latents of each kind, and shows how they grow with $K$ and $L$.

# %% [markdown]
# ## Summary
#
# - Nearest, Eq. (1), lets each latent decide for itself, so codes may repeat. Matching, Eq. (3), decides for all latents of an image at once, and no code repeats.
# - Greedy pays more, and its set depends on the order of the latents. The matching's does not.
# - Where the nearest codes of an image are distinct, they *are* the matching. Whether PI-VQ's latents compete is a question about its tokens.
# - The quantizer has no gradient of its own: the straight-through estimator copies it, and two losses bring codes and latents together.
#
# Next: [notebook 03](03_train.ipynb) trains with both rules.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 2.1: three quantizers
#
# Write the three rules as functions from a table of distances `(L, K)`, a tensor, to $L$ codes: nearest, greedy in latent order, and the optimal matching. For the last, `scipy.optimize.linear_sum_assignment` solves the problem.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def nearest_codes(distances):
    """Return the nearest code of each latent, Eq. (1)."""
    return distances.argmin(dim=1)


def greedy_codes(distances):
    """Return the nearest code that is still free, latent by latent."""
    taken = []
    for row in distances.tolist():
        free = [code for code in range(len(row)) if code not in taken]
        taken.append(min(free, key=lambda code: row[code]))
    return taken


def matching_codes(distances):
    """Return distinct codes with the least total distance, Eq. (3)."""
    return linear_sum_assignment(distances.numpy())[1]

# %% [markdown]
# The next cell checks the three answers, and says what is wrong with them.

# %% tags=["check"]
checks = [check_nearest(nearest_codes), check_greedy(greedy_codes)]
checks.append(check_matching(matching_codes))
display(Markdown("  \n".join(checks)))

# %% [markdown]
# ### Exercise 2.2: the worst table
#
# How bad can greedy be? Find a $3 \times 3$ table of positive distances for which greedy, in latent order, pays at least ten times as much as the matching.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
worst = [[1.0, 1.1, 50.0], [1.0, 90.0, 50.0], [50.0, 90.0, 1.0]]

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_worst_table(worst)))

# %% [markdown]
# ### Exercise 2.3: straight through
#
# Write the straight-through line as a function of the latents and their code vectors, both `(L, d)`. Then leave out `.detach()`, and read what the check says.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def straight_through(latents, vectors):
    """Return the code vectors (L, d); their gradient goes to the latents alone."""
    return latents + (vectors - latents).detach()

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_straight_through(straight_through)))

# %% [markdown]
# ### Exercise 2.4: someone is always content
#
# Show that in an optimal matching at least one latent has its nearest code (if $L \le K$, without ties).
#
# <details><summary>Answer</summary>
#
# Suppose none has. Start at any latent and look at its nearest code. If that code is free, moving there lowers the total: not optimal. So another latent holds it. Continue from that latent to its own nearest code, and so on. There are finitely many latents, so the walk comes back to one that it has visited. Give every latent on this cycle its nearest code, which its successor gives up: all of them are better off, and no other latent changes. That contradicts optimality.
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **VQ-VAE.** A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation Learning. NeurIPS 2017. [arXiv:1711.00937](https://arxiv.org/abs/1711.00937).
# - **Straight-through gradients.** Y. Bengio, N. Léonard, A. Courville: Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation. [arXiv:1308.3432](https://arxiv.org/abs/1308.3432), 2013.
# - **The assignment problem.** H. W. Kuhn: The Hungarian Method for the Assignment Problem. Naval Research Logistics Quarterly 2, 1955. The paper cites D. Bruff: The Assignment Problem and the Hungarian Method, 2005.
# - **k-means++.** D. Arthur, S. Vassilvitskii: k-means++: The Advantages of Careful Seeding. SODA 2007.

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures. They use the faces alone; only one section, which saves nothing, also uses models.

# %%
facts = stamp(config, runs={label: run.folder.name for label, run in found.items()})
display(facts_table(facts))

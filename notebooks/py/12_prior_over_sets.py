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
# # 12 · A prior over sets of codes
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/12_prior_over_sets.ipynb)
#
# **Beyond the paper.** PI-VQ samples without a learned prior (Section 3.5), and the paper leaves one to future work. But a matched image is a set of exactly $L$ of $K$ codes, so a prior needs no order and no positions: given some codes, which others belong to them? A small transformer learns that from the training sets. It says how many bits faces really use, draws new sets, completes partial ones and finds codes that do not fit. The autoencoder stays as it is.
#
# **Afterwards you can**
#
# - bound the probability of a set by that of drawing its codes in a random order;
# - say how many of the bits of Eq. (4) the data use, and how much of that is learned by heart;
# - draw, complete and judge sets of codes, and compare the samples with Algorithm 1's.
#
# Read with it: Sections 3.4, 3.5 and 5 of [the paper](https://arxiv.org/abs/2604.01843), and [notebook 11](11_better_samples.ipynb). `./run_all.sh --extras` runs this notebook after the others.
#
# | | |
# |---|---|
# | needs | the trained models ([notebook 03](03_train.ipynb)) |
# | makes | `prior_training`, `prior_bits`, `prior_samples`, `prior_side_by_side`, `prior_filled_in`, `prior_extremes`, `prior_anomalies`, `prior` in `figures/<profile>/` |

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
# These are the parameters. `trainings` is the number of priors that are trained, with one seed each. They are kept; `force` trains them again.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False
device = "auto"
features = ""
trainings = 1

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
from dataclasses import replace

import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.pictures import plot_images
from pivq.figures.prior_charts import plot_bits, plot_training
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.inference import decode_levels
from pivq.pretrained.features import load_feature_network
from pivq.processes import pick_device
from pivq.rivals.any_order import draw_sets, set_bits
from pivq.rivals.set_prior import PriorSettings
from pivq.runs.beyond.samplers import empty_balls_in_words, over_seeds
from pivq.runs.beyond.set_priors import (
    IMAGES,
    ORDERS,
    PAIRS,
    PRIOR,
    drawers,
    halves,
    in_words,
    measure_anomalies,
    measure_bits,
    measure_draws,
    measure_filling,
    trained_prior,
)
from pivq.runs.models import require_models
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.recombination import as_records
from pivq.runs.shipped import LABEL
from pivq.runs.splits import load_split

config = load_config(profile, seed, data, features, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# The next cell loads the paper's model, learned tokens with matching, and the network whose features describe an image.

# %%
run = require_models(config)[LABEL]
on = pick_device(device)
network = load_feature_network(config.evaluation.features, on)
model, size = run.model(on), run.config.model.codebook_size
heldout, codes = load_split(config, "heldout"), torch.from_numpy(run.codes("heldout"))
length = codes.shape[1]
display(Markdown(f"{LABEL}: K = {size:,}, L = {length}. {network.label}."))

# %% [markdown]
# ## What is learned
#
# The prior answers one question: with the codes $S$ of an image given, how likely is each other code $c$ to be one of the rest? With a bias $b_c$, a weight $W_{s,c}$ for each pair and what a transformer $f$ without positions reads from the given codes,
#
# $$p(c \mid S) \propto \exp\Big(b_c + \sum_{s \in S} W_{s,c} + f(S)_c\Big) \quad\text{for } c \notin S .$$
#
# Codes that are given cannot come again, so a set never has a repeat. In training, $n$ is drawn from $0 \dots L-1$; $n$ random codes of an image are given, and the loss is the mean of $-\log_2 p(c \mid S)$ over the others.
#
# ## What the loss is: bits
#
# Drawing a set in an order $\sigma$ has probability $\prod_t p(c_{\sigma(t)} \mid c_{\sigma(1)}, \dots, c_{\sigma(t-1)})$. The set is drawn if any of its $L!$ orders is. With Jensen's inequality,
#
# $$-\log_2 p(\mathcal S) = -\log_2 \sum_\sigma \prod_t p\big(c_{\sigma(t)} \mid c_{\sigma(<t)}\big) \;\le\; \mathbb E_\sigma\Big[-\sum_t \log_2 p\big(c_{\sigma(t)} \mid c_{\sigma(<t)}\big)\Big] - \log_2 L! \quad\text{bits.}$$
#
# The loss times $L$, less $\log_2 L!$, estimates the right-hand side (`pivq.rivals.any_order.hidden_bits`). If every code is as likely as another, it is $\log_2 \binom{K}{L}$ exactly: Eq. (4).
#
# The next cell trains the prior, or loads it. As a control, it also trains the weights of pairs without the transformer.

# %%
settings = PriorSettings(steps=60) if profile == "smoke" else PriorSettings()
priors = [trained_prior(run, seed + i, settings, force) for i in range(trainings)]
pairs = trained_prior(run, seed, replace(settings, layers=0), force)
prior = priors[0].prior
figure = plot_training({PRIOR: priors[0].log, PAIRS: pairs.log})
save_figure(figure, "prior_training", config, caption(config, note=LABEL));

# %% [markdown]
# **What to look at.** The sets kept apart decide which step's weights are kept. Where the dashed curve falls below the solid one, the prior begins to know its training sets by heart.

# %% [markdown]
# ## How many bits do faces use?
#
# Eq. (4) counts every set of $L$ of the codes in use. The bars are bounds for real images, from several random orders of each: $-\log_2$ of the mean over orders of $L!$ times their probability is a bound too, in expectation, and a lower one (`pivq.rivals.any_order.tightened`). *Frequencies* draws each code as often as the training images have it, and takes no account of the codes that are already given. What lies between it and the prior is what codes say about each other. Whiskers are two standard errors over images.
#
# How few bits could it be? For drawn faces that is known: they are drawn by a recipe, part by part, and a face of probability $p$ in it has $-\log_2 p$ bits (`pivq.runs.beyond.face_bits`). Codes are computed from the picture, so their sets cannot have more on average, and may have fewer if codes miss a part. This is the control: a small number here is first of all a fact about the data.

# %%
bits = measure_bits(run, {PAIRS: pairs.prior, PRIOR: prior})
note = f"{LABEL}; {min(IMAGES, len(codes))} images of each split, {ORDERS} orders of each"
save_figure(plot_bits(bits), "prior_bits", config, caption(config, note=note))
shown = bits.replace({"split": {"heldout": "held out"}})
display(styled(shown, {"images": "{:.0f}"}, precision=1, na_rep="–"))

# %% [markdown]
# **How to read it.** The bound is one of the data *and* of the prior: a better prior lowers it, never below what the sets need. The difference between training and held-out images is overfitting.

# %% [markdown]
# ## Samples
#
# A set is drawn by adding codes: with $L$ passes of the prior one at a time, exactly from the probabilities above; with fewer passes several at once, which is cheaper and cannot see what these say about each other. The decoder runs once, as ever. At a temperature $T$ each probability becomes $p^{1/T}$, made to sum to 1: below 1, what the prior calls likely is drawn more often than it says, and above 1 less often; where none is named, it is 1. Each kind is measured as in [notebook 11](11_better_samples.ipynb): against as many reconstructions of training images. The control is reconstructions of held-out images, and the novelty of each is counted.

# %%
seeds = range(1 if profile == "smoke" else 3)
draws = drawers(run, [trained.prior for trained in priors], {PAIRS: pairs.prior})
with empty_balls_in_words() as notes:
    means = over_seeds(measure_draws(run, network, draws, seeds))
note = f"{LABEL}; {config.evaluation.samples:,} samples each"
note += f", {len(seeds)} sampling seed{'s' * (len(seeds) != 1)}"
note += f", {trainings} training{'s' * (trainings != 1)} of the prior"
line = caption(config, note=f"{note}; k = 3; {network.distance_name}")
names = {"distance": network.distance_name, "new": "new codes"}
table = means.rename(columns=names | {"deviation": f"deviation of {network.distance_name}"})
save_table(table, "prior_samples", config, line)
display(styled(table, {"copies": "{:.1%}"}, precision=2, na_rep="–"), *map(Markdown, notes))

# %% [markdown]
# Each row of the next figure has samples of one kind.

# %%
rows = [next(decode_levels(model, draw(10, seed))).cpu() for draw in draws.values()]
figure = plot_images(torch.cat(rows), columns=10, row_labels=list(draws))
save_figure(figure, "prior_side_by_side", config, caption(config, note=LABEL));

# %% [markdown]
# ## Completing a half set
#
# Algorithm 1 needs two whole parents. The prior can start from any part of a set: half of the codes of a held-out face, drawn at random, is given, and the rest is drawn. The table says how many of the hidden codes come back. The figure has the reconstruction of a face from all of its codes, then five completions of the same half.

# %%
filling = measure_filling(run, {PAIRS: pairs.prior, PRIOR: prior})
display(styled(filling, {"recovered": "{:.1%}", "error": "{:.1%}"}))
known = halves(codes[:4], seed).repeat_interleave(5, dim=0)
completed = draw_sets(prior, len(known), length, size, seed, given=known)
shown = torch.cat([codes[:4, None], completed.reshape(4, 5, length)], dim=1).flatten(0, 1)
pictures = torch.cat(list(decode_levels(model, shown)))
columns = ["all codes", *[f"completion {i}" for i in range(1, 6)]]
figure = plot_images(pictures, columns=6, column_labels=columns)
save_figure(figure, "prior_filled_in", config, caption(config, note=f"{LABEL}; half given"));

# %% [markdown]
# **What to look at.** What all completions share was decided by the given half; what differs between them was not.

# %% [markdown]
# ## Usual and unusual faces
#
# The bits of a set say how unusual it is to the prior. The next cell shows held-out faces that take the fewest and the most.

# %%
each = set_bits(prior, codes[:IMAGES], size, orders=2, seed=seed).mean(dim=1)
order = each.argsort()
extremes = torch.cat([order[:6], order[-6:]])
figure = plot_images(
    torch.stack([heldout.images[int(i)] for i in extremes]),
    columns=6,
    titles=[f"{each[i]:.1f} bits" for i in extremes],
    row_labels=["fewest", "most"],
)
save_figure(figure, "prior_extremes", config, caption(config, note=LABEL));

# %% [markdown]
# ## A code that does not fit
#
# One code of a held-out set is exchanged: for an alternative of its exchange group ([notebook 11](11_better_samples.ipynb)), as another face has it, or for any code of another face. The prior scores each code given all others, $-\log_2 p(c \mid \mathcal S \setminus \{c\})$, and a set by its most surprising code. The table says how well exchanged sets are told from real ones (AUROC, the area under the ROC curve: how often a random exchanged set has a higher score than a random real one; 0.5 is chance), and how often the most surprising code is the exchanged one.

# %%
anomalies = measure_anomalies(run, {PAIRS: pairs.prior, PRIOR: prior}, seed=seed)
save_table(anomalies, "prior_anomalies", config, caption(config, note=LABEL))
shown = anomalies.rename(columns={"auroc": "AUROC"})
display(styled(shown, {"found": "{:.1%}"}, precision=3))

# %% [markdown]
# ## Summary

# %%
sentences = in_words(bits, means, filling, anomalies)
frames = {"bits": bits, "samples": means, "filling": filling, "anomalies": anomalies}
numbers = {name: as_records(frame) for name, frame in frames.items()}
numbers |= {"training": priors[0].log, "seconds": {PRIOR: priors[0].seconds, PAIRS: pairs.seconds}}
numbers |= {"sentences": sentences}
save_json(numbers | stamp(config, config.train.steps), "prior", config)
display(Markdown("\n".join(f"- {sentence}" for sentence in sentences)))

# %% [markdown]
# **How to read it.** A low distance alone would also be had by copying training images; so compare the novelty with that of held-out images. Unlike Algorithm 1, the prior needs a training and, for each sample, passes of a network.
#
# Next: [notebook 13](13_rivals.ipynb) compares PI-VQ with other kinds of codes.

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **Any order.** B. Uria, I. Murray, H. Larochelle: A Deep and Tractable Density Estimator. ICML 2014. [arXiv:1310.1757](https://arxiv.org/abs/1310.1757). One network for all orders, trained by hiding a random part.
# - **Tighter bounds.** Y. Burda, R. Grosse, R. Salakhutdinov: Importance Weighted Autoencoders. ICLR 2016. [arXiv:1509.00519](https://arxiv.org/abs/1509.00519).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
facts = stamp(config, steps=config.train.steps, runs={LABEL: run.folder.name})
display(facts_table(facts))

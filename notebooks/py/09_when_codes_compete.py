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
# # 09 · When do latents compete for codes?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/09_when_codes_compete.ipynb)
#
# **Claim that is tested here.** With nearest-neighbour quantization, the paper finds "that the maximum per-image codebook usage $K_\text{img}$ over the entire dataset is only 49 out of the maximum 512 […], indicating a large number of repeated codes per image"; matching makes all codes of an image different (Section 4.2, Table 2). That needs latents that *compete* for codes. With the paper's learned tokens, ours do not. When do they?
#
# **Afterwards you can**
#
# - say why learned tokens leave nearest nothing to repeat, and drawn ones do;
# - split the variance of the latents between token and image;
# - compare a collapse with what chance alone would give.
#
# Read with it: Sections 3.4 and 4.2, and Table 2 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the trained models ([notebook 03](03_train.ipynb)); the study itself comes with the project |
# | makes | `competing_tokens`, `competition`, `competition_samples`, `codes_over_steps`, `codes_by_length` in `figures/<profile>/` |

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
# These are the parameters. `rerun_study` trains the runs of the study here instead of showing the stored ones, about three hours on two cores; an interrupted study resumes. `force` then starts it anew.

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
rerun_study = False

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import pandas as pd
from IPython.display import Markdown, display

from pivq import paper
from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.competition_charts import plot_codes_by_length, plot_codes_over_steps
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.processes import pick_device
from pivq.runs.competition import USED_IMAGES, describe
from pivq.runs.conclusions import before_and_after, bullets, conclusions
from pivq.runs.findings import study_frame, study_tables
from pivq.runs.models import require_models
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.ready import check_ready
from pivq.runs.splits import load_split
from pivq.runs.study import run_study, study_facts
from pivq.runs.teaching.exercises import check_expected_distinct
from pivq.runs.untrained import untrained_model
from pivq.storage.paths import figures_dir, stored_file
from pivq.storage.writing import read_sealed

config = load_config(profile, seed, data, features, layout=layout, on_error=on_error, steps=steps)
check_ready(config, metrics=rerun_study)
seed_everything(seed)
use_style()

# %% [markdown]
# ## Why learned tokens do not compete
#
# A latent is what the encoder's transformer makes of a token that has read the image. The paper's $L$ tokens are **learned**: each is one vector, the same for every image. Our variant **draws** them anew for every image in training, from a normal distribution; then no latent has a name, and what the encoder returns is a set already. Which share of the variance of the latents is the token's (the same in all images), which the image's (the same in all its latents), and which do both make together? The next cell measures it on held-out images that all get the same tokens: first before any training, with a codebook fitted to the latents, then on the trained models of this profile.

# %%
images = {split: load_split(config, split).images[:USED_IMAGES] for split in ("train", "heldout")}
runs = require_models(config)
untrained = {f"{run.config.model.tokens}, untrained": run.config for run in runs.values()}
on = pick_device(device)
models = {
    name: untrained_model(settings, images["train"], "nearest", on)
    for name, settings in untrained.items()
}
models |= {name: run.model(on) for name, run in runs.items()}
measured = {name: describe(model, images["heldout"]) for name, model in models.items()}
frame = pd.DataFrame(
    [{"model": name, "L": models[name].config.num_codes} | row for name, row in measured.items()]
)

# %% [markdown]
# With $z_{nl}$ the latent of image $n$ and token $l$, $\bar z$ their mean, $\bar z_{\cdot l}$ the mean over images and $\bar z_{n \cdot}$ the mean over tokens, the variance has three parts (Var is the mean squared length of what deviates):
#
# $$z_{nl} - \bar z \;=\; \underbrace{(\bar z_{\cdot l} - \bar z)}_{\text{token}} + \underbrace{(\bar z_{n \cdot} - \bar z)}_{\text{image}} + \underbrace{(z_{nl} - \bar z_{\cdot l} - \bar z_{n \cdot} + \bar z)}_{\text{both together}}.$$
#
# The table has the share of each. It also has
#
# - how many codes of an image differ, and how many uses of a code fall to its main token, where each image has a draw of its own;
# - how many of an image's codes stay if other tokens are drawn;
# - how often both rules give a latent the same code.

# %%
titles = {"token": "variance: token", "image": "variance: image", "both": "variance: both"}
titles |= {"draw_codes": "same codes after another draw", "agreement": "both rules agree"}
titles |= {"dominant_share": "uses by the main token"}
different = {"mean_codes_per_image_drawn": "different codes per image"}
table = frame.rename(columns=titles | different)
save_table(
    table,
    "competing_tokens",
    config,
    caption(config, note=f"{len(images['heldout'])} held-out images"),
)
formats = dict.fromkeys(titles.values(), "{:.1%}") | dict.fromkeys(different.values(), "{:.1f}")
display(styled(table, formats))
display(Markdown(before_and_after(frame)))

# %% [markdown]
# **What to look at.** If a latent is nearly all its token, and the token is the same for every image, k-means gives each token codes of its own: no two latents of an image want the same code, and nearest *is* a matching. Drawn tokens differ from image to image, so no code can belong to one. If the encoder learns to say the same about an image with any draw, its latents lie close together and want the same codes.

# %%
if not any(name.startswith("drawn") for name in models):
    display(
        Markdown(
            f"The profile {profile} trains no models with drawn tokens: the study below shows them."
        )
    )

# %% [markdown]
# ## The study
#
# Every run has the settings of `quick` with one thing changed: the tokens, their spread, L, K, the codebook's start or the number of steps; all have no discriminator, and $T_q = 800$ in 2,000 steps unless stated. Most are trained with both quantizers; the row that the claim rests on has three seeds. A stored row says on which device it was trained. `./run_all.sh --only 09 --rerun-study` makes them anew; in `smoke`, with small sizes that show nothing.

# %%
if rerun_study:
    trained = run_study(config, device, anew=force)
    save_json({"rows": trained} | study_facts(trained, config), "competition", config)
stored = stored_file("competition", profile, seed)
own = stored.parent == figures_dir(profile, seed)
study = read_sealed(stored)
frame = study_frame(study["rows"])
said = conclusions(frame)
origin = {name: study[name] for name in ("profile", "dataset", "protocol")}
origin |= {
    "runs": len(frame),
    "devices": ", ".join(study["devices"]),
    "trained in this run": "yes" if rerun_study else "no",
}
line = f"study: profile {study['profile']}, {study['dataset']}"
line += f", {len(frame)} runs on {origin['devices']}"
display(facts_table(origin))

# %% [markdown]
# The first table has reconstruction, codes and capacity; a cell with a range is of several seeds. $K_\text{img}$ is the number of different codes of a training image. "Counted once" counts each multiset or set once, where Eq. (2) counts some more often ([notebook 04](04_capacity.ipynb)).

# %%
codes, samples = study_tables(frame)
if own:
    save_table(codes, "competition", config, f"{line}; {study['protocol']}")
    save_table(samples, "competition_samples", config, f"{line}; {study['protocol']}")
with pd.option_context("display.max_rows", None):
    display(styled(codes))

# %% [markdown]
# ### Do latents compete?

# %%
display(Markdown(bullets(said, "learned", "drawn", "others")))

# %% [markdown]
# The figure shows the different codes of an image over the steps (on a logarithmic axis in the left panel), as a share of L, with nearest. Each sudden rise is a new fit of the codebook.

# %%
figure = plot_codes_over_steps(frame)
if own:
    save_figure(
        figure,
        "codes_over_steps",
        config,
        f"nearest quantization, mean over held-out images · {line}",
    )

# %% [markdown]
# The figure shows them against L, at the end of training, on all training images.

# %%
figure = plot_codes_by_length(frame, (paper.NUM_CODES, paper.TABLE2[0].codes_per_image))
if own:
    of_paper = f"the paper's point: CelebA-HQ, K = {paper.CODEBOOK_SIZE:,}"
    save_figure(figure, "codes_by_length", config, f"{of_paper} · {line}")
display(Markdown(bullets(said, "steps", "lengths")))

# %% [markdown]
# ### What does matching cost, and what does it gain?
#
# A latent that does not get its nearest code is quantized with a larger error. Does training make up for it?

# %%
display(Markdown(bullets(said, "quality", "longer", "capacity", "codebook")))

# %% [markdown]
# ### Are the samples better?
#
# Here, samples of Algorithm 1 are compared with reconstructions by the same model: what decoding costs is on both sides. A trait comes from nowhere if a sample shows it and neither parent has it; only attributes are counted that the classifier reads well in the pictures of all runs ([notebook 05](05_interpolation.ipynb)).

# %%
display(styled(samples))
display(Markdown(bullets(said, "samples", "decoders", "traits")))

# %% [markdown]
# ### What do the codes say, and does the draw matter?
#
# Probes read attributes from the codes of held-out images ([notebook 07](07_probing.ipynb)). A model with drawn tokens gives other codes to the same image if it draws other tokens; its own inference uses one fixed draw.

# %%
display(Markdown(bullets(said, "probing", "draws")))

# %% [markdown]
# ## What follows

# %%
display(Markdown(said.get("whole", "")))

# %% [markdown]
# ## Summary
#
# - Latents compete only if their tokens have no names. With learned tokens our latents have names from the first step, so they do not compete.
# - With drawn tokens nearest collapses with training, as the paper reports, and matching prevents it, at a price in PSNR.
# - Compare a collapse with chance and with the untrained encoder before you explain it.
#
# Next: [notebook 10](10_from_scratch.ipynb) writes the whole method in plain lines.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 9.1: what chance gives
#
# $L$ latents each take one of $K$ codes, evenly and independently. How many different codes does an image have on average? Compare with the study: is nearest's collapse more than chance?

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def expected_distinct(codebook_size, num_codes):
    """Return the expected number of different codes among L draws from K."""
    missed = (1 - 1 / codebook_size) ** num_codes  # the probability that nobody takes a code
    return codebook_size * (1 - missed)

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_expected_distinct(expected_distinct)))

# %% [markdown]
# ### Exercise 9.2: why no competition?
#
# Explain with the table of variances why nearest repeats no code with learned tokens, and why more training would hardly change that.
#
# <details><summary>Answer</summary>
#
# Before training nearly all of the variance is the token's, and after it most is: latents of one token lie together for all images, and far from those of other tokens. k-means puts centres where latents lie, so each token's cloud gets centres of its own, and a latent's nearest code is one of them. Two latents of an image come from two tokens, hence from two clouds: their nearest codes differ. Training moves the codes within their clouds; nothing in the loss pulls two clouds together.
#
# </details>

# %% [markdown]
# ### Exercise 9.3: a third kind of token
#
# Propose a third kind of token between the two, and say what you would measure to place it.
#
# <details><summary>Answer</summary>
#
# For example *learned tokens plus noise*, drawn anew for every image: with little noise they keep names, with much they lose them. Measure the token's share of the variance, the different codes per image before and after training, and the agreement of both rules, over the spread of the noise; then PSNR and samples, to see what names are worth. (The study has this and other variations.)
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **The base code.** S. Bond-Taylor, P. Hessey, H. Sasaki, T. P. Breckon, C. G. Willcocks: Unleashing Transformers: Parallel Token Prediction with Discrete Absorbing Diffusion for Fast High-Resolution Image Generation from Vector-Quantized Codes. ECCV 2022. [doi:10.1007/978-3-031-20050-2_11](https://doi.org/10.1007/978-3-031-20050-2_11).
# - **VQ-VAE.** A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation Learning. NeurIPS 2017. [arXiv:1711.00937](https://arxiv.org/abs/1711.00937).
# - **k-means++.** D. Arthur, S. Vassilvitskii: k-means++: The Advantages of Careful Seeding. SODA 2007.

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
facts = stamp(
    config, steps=config.train.steps, runs={name: run.folder.name for name, run in runs.items()}
)
display(facts_table(facts))

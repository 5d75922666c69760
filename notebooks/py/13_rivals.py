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
# # 13 · Rivals: the same faces, the same convolutions, other codes
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/13_rivals.ipynb)
#
# **Beyond the paper.** Table 1 of the paper says of fourteen methods whether they are discrete, sample in one pass and interpolate; it measures none of them. Here six of its kinds are trained on our faces, with PI-VQ's own convolutional parts, losses, optimizer and number of steps, and measured as PI-VQ is. TokenSet, the other published tokenizer that makes sets, is added. Are one-pass sampling, discrete codes and interpolation worth their price?
#
# **Afterwards you can**
#
# - say which entries of Table 1 hold when they are measured;
# - compare generators by reconstruction and by sampling, which are two things;
# - say where PI-VQ loses.
#
# Read with it: Table 1 and Section 2 of [the paper](https://arxiv.org/abs/2604.01843). `./run_all.sh --extras` runs this notebook after the others.
#
# | | |
# |---|---|
# | needs | stored rows, which `benchmarks/complete_rivals.py` makes in hours; rivals that are trained here are shown too |
# | makes | `rivals`, `rivals_capabilities`, `rivals_compared`, `rivals_side_by_side` in `figures/<profile>/` |

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
# These are the parameters. `retrain` trains all rivals here, with three seeds, instead of showing the stored rows: hours; an interrupted training resumes. Otherwise nothing is trained, and `force` and `steps` change nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False
retrain = False
device = "auto"

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.pictures import plot_images
from pivq.figures.rival_charts import plot_rivals
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.runs.beyond.comparison import comparison_facts, means, seeds_in_words
from pivq.runs.beyond.rival_findings import (
    MEASURES,
    PIVQ_ROW,
    PLAIN,
    capabilities,
    rivals_frame,
    where_pivq_loses,
)
from pivq.runs.beyond.rivals import (
    CONTENDERS,
    MINUTES_PER_SEED,
    is_trained,
    open_contender,
    run_rivals,
    stored_rivals,
)
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.storage.paths import figures_dir, stored_file

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# ## Who takes part
#
# | model | what an image is | how it is drawn | stands for |
# |---|---|---|---|
# | PI-VQ | a set of $L$ codes, by matching | Algorithm 1; or groups of codes between near parents ([notebook 11](11_better_samples.ipynb)); or a learned prior over sets that adds code by code ([notebook 12](12_prior_over_sets.ipynb)) | PI-VQ |
# | VAE, β-VAE | 128 numbers, with a *normal posterior*: the encoder gives a mean and a deviation of each, and training draws from that normal distribution | one draw from the prior | VAE, β-VAE |
# | VQ-VAE | a code for each cell of the grid, the nearest | a transformer that draws the codes one by one; or one that shows codes hidden at random places (absorbing diffusion) | VQ-GAN (TT), VQ-GAN (UT) |
# | TokenSet, reduced | a multiset of $L$ codes, order-free by shuffled training | *fixed-sum diffusion*: random counts of codes are changed step by step, and their sum stays $L$ | – |
#
# VQ-GAN (TT) and VQ-GAN (UT) are rows of Table 1: the VQ-GAN of *Taming Transformers*, with an autoregressive prior, and that of *Unleashing Transformers*, with absorbing diffusion (see the references).
#
# **What is equal**: the faces, the convolutional encoder and decoder, L1, perceptual and adversarial loss, the schedule, batch size and steps of the autoencoder. **What is not**: a VQ-VAE stores more bits, because the grid has more cells than PI-VQ has codes; the priors are trained in addition, which PI-VQ's Algorithm 1 does without; and each rival is what fits in a file (`pivq/rivals/`), not its authors' best. The seconds of each training stand in the table; they are measured by the clock, and left out where other work shared the cores or a training was paused.
#
# The next cell reads the stored rows. If there are none yet, it says how they are made.

# %%
if retrain:
    rows = run_rivals(config, device=device, anew=True)
    save_json({"rows": rows} | comparison_facts(rows, config), "rivals", config)
else:
    rows = stored_rivals(profile)
own = stored_file("rivals", profile).parent == figures_dir(profile, seed)
frame = rivals_frame(rows)
seeds = frame["seed"].nunique()
if rows:
    facts = {"rows": len(rows), "seeds": seeds, "profile": rows[0]["profile"]}
    facts["devices"] = ", ".join(sorted({row["device"] for row in rows}))
    display(facts_table(facts))
else:
    display(
        Markdown(
            "**There are no rows yet.** `python benchmarks/complete_rivals.py` trains and measures "
            f"all rivals: about {MINUTES_PER_SEED} minutes of one CPU core for each of three "
            "seeds. It resumes when it is interrupted; `--seeds 0 --only VAE` makes one row. "
            "Everything below stays empty until then."
        )
    )
origin = f"rows of profile {rows[0]['profile']}" if rows else "no rows"
line = caption(config, note=f"{origin}, {seeds_in_words(frame)}; k = 3")

# %% [markdown]
# ## Table 1, measured and reported
#
# *Discrete*: what a model stores of an image is whole numbers, and written to bytes and read back they give the same picture. *Passes*: how often a network runs while a batch of samples is drawn. *Interpolation* is two things here. A path between two faces is *smooth* if its largest step is small, which is all that [notebook 06](06_sample_quality.ipynb) asks of PI-VQ, and *realistic* if its middle is nearer to a real face than a double exposure is, in more than half of the pairs. A VQ-VAE's path exchanges the codes of cells, one by one: what PI-VQ does with sets. The steps here are those between 17 stops of a path, for all models alike. [Notebook 05](05_interpolation.ipynb) takes a step at every exchange of a code, which is shorter, so do not compare its largest steps with these.

# %%
if rows:
    table = capabilities(frame)
    if own:
        save_table(table, "rivals_capabilities", config, line)
    display(styled(table))

# %% [markdown]
# **What to look at.** Where *reported* and measured differ, is it the model or the test? A path of patches can be smooth and still pass through pictures that are no faces.

# %% [markdown]
# ## All measures
#
# Means over the seeds of the training, with the deviation between them. FD is the Fréchet distance in EfficientNet features. *Real* compares samples with as many training faces; *own* with the model's reconstructions of them, so that the decoder's faults are on both sides. [Notebook 06](06_sample_quality.ipynb) measures the FD to real faces against all training faces, which makes it a little smaller.

# %%
columns = [*MEASURES, "bits", "prior_bits", "steps", "seconds", "parameters"]
columns += ["prior_steps", "prior_seconds", "prior_parameters"]
if rows:
    table = means(frame, columns)
    words = {name: text for name, (_, text, _) in MEASURES.items()}
    words |= {"bits": "bits stored", "prior_bits": "bits under the prior (at most)"}
    table = table.rename(columns=words)
    if own:
        save_table(table, "rivals", config, line)
    table = table.rename(columns=PLAIN).set_index("name")
    display(styled(table.T.reset_index(names="measure")))

# %% [markdown]
# The figure has the headline: each point is a seed, and the line is their mean. PSNR is in dB; the axis of a distance that spans more than a decade is logarithmic.

# %%
panels = {"psnr": "PSNR (dB), reconstructions", "fd_real": "FD to real faces"}
panels |= {"fd_own": "FD to own reconstructions"}
if rows:
    figure = plot_rivals(frame, panels, PIVQ_ROW)
    if own:
        save_figure(figure, "rivals_compared", config, line)

# %% [markdown]
# ## The priors, at equal size
#
# The prior over PI-VQ's sets does what the priors of a VQ-VAE do for a grid of codes. Here it has about as many weights as they have (this is set for the profile `quick`), and as many steps of training. Its steps are not the same, though: it is trained with 128 sets in a batch, with Muon and AdamW, and the best of its validations is kept; the autoregressive and the absorbing prior have 32 images in a batch, AdamW alone, and the averaged weights after the last step. TokenSet's prior is larger: most of its weights are in one layer, which has outputs for every code. In [notebook 12](12_prior_over_sets.ipynb) it is smaller and trained for longer. *Bits stored* is the capacity of a model's codes, and *bits under the prior* is the mean cost of a held-out image's codes, at most. The models store different codes, so do not compare these bits across models. Compare what a prior saves of the capacity, and how near samples come to the model's own reconstructions.

# %%
columns = ["prior_parameters", "prior_steps", "prior_seconds", "bits", "prior_bits", "fd_own"]
columns += ["precision_own", "recall_own", "passes"]
with_prior = frame[frame["prior_parameters"].notna()]
if len(with_prior):
    table = means(with_prior, columns).rename(columns=words | PLAIN)
    display(styled(table.set_index("name").T.reset_index(names="measure")))

# %% [markdown]
# **What to look at.** The control is PI-VQ with Algorithm 1, in the table above: the same model and decoder, without a prior. Is its FD to own reconstructions higher than with the prior, and by how much?

# %% [markdown]
# ## Where PI-VQ loses
#
# The sentences are computed from the rows. A difference counts if the worst seed of one model is better than the best seed of the other.

# %%
display(Markdown("\n".join(f"- {sentence}" for sentence in where_pivq_loses(frame))))

# %% [markdown]
# ## Side by side
#
# The pictures need a trained model. Each rival of this profile and seed that is trained to its end shows samples.

# %%
shown = [contender for contender in CONTENDERS if is_trained(config, contender)]
pictures = [open_contender(config, one, device)[0].sample(10, seed) for one in shown]
if pictures:
    figure = plot_images(
        torch.cat(pictures), columns=10, row_labels=[one.name for one in shown]
    )
    save_figure(figure, "rivals_side_by_side", config, caption(config, note="samples"))
else:
    display(Markdown("No rival of this profile and seed is trained here."))

# %% [markdown]
# ## What this does not say
#
# The stored rows are of small models, trained for minutes on drawn faces. Samples of the VAEs that look like no faces, while their reconstructions are good, say that real faces fill only a part of the prior. The weight of the KL divergence decides that; it follows from an assumed scale (`SCALE` in `pivq/rivals/vae.py`) and was not tuned for samples. At the paper's scale a learned prior has more to learn from, and the order can change. TokenSet is reduced in every part (`pivq/rivals/tokenset.py` lists how); its numbers are of the reduction.

# %% [markdown]
# ## Summary
#
# - A model can be better at reconstruction and worse at sampling. The distance to its own reconstructions leaves the decoder's errors out.
# - A yes of Table 1 needs a measure, a threshold and a control: a path can be smooth and yet no more real in its middle than a cross-fade.
# - A learned prior needs a training and passes of a network. The prior over PI-VQ's own sets shows what it gains: same model, same decoder.
# - *Where PI-VQ loses* counts a difference only where the seeds do not overlap.
#
# Next: [notebook 14](14_what_codes_mean.ipynb) asks what a single code means.

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **VAE.** D. P. Kingma, M. Welling: Auto-Encoding Variational Bayes. [arXiv:1312.6114](https://arxiv.org/abs/1312.6114), 2013.
# - **β-VAE.** I. Higgins et al.: beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework. ICLR 2017.
# - **VQ-VAE.** A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation Learning. [arXiv:1711.00937](https://arxiv.org/abs/1711.00937), 2017.
# - **VQ-GAN.** P. Esser, R. Rombach, B. Ommer: Taming Transformers for High-Resolution Image Synthesis. CVPR 2021. [arXiv:2012.09841](https://arxiv.org/abs/2012.09841).
# - **Absorbing diffusion.** J. Austin et al.: Structured Denoising Diffusion Models in Discrete State-Spaces. [arXiv:2107.03006](https://arxiv.org/abs/2107.03006), 2021. S. Bond-Taylor et al.: Unleashing Transformers. ECCV 2022. E. Hoogeboom et al.: Autoregressive Diffusion Models. [arXiv:2110.02037](https://arxiv.org/abs/2110.02037), 2021.
# - **TokenSet.** Z. Geng, M. Xu, H. Hu, S. Gu: Tokenize Image as a Set. [arXiv:2503.16425](https://arxiv.org/abs/2503.16425), 2025.

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(facts_table(stamp(config, rows=len(rows))))

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
# # 03 · Training: before T_q, at T_q, and after
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/03_train.ipynb)
#
# **Claims that are tested here.** "Applying vector-quantization from the beginning of the training run leads to a catastrophic failure in learning", and re-initialising the codebook "more than once over successive windows of length W […] leads to better codebook usage" (Section 3.7). The loss has three terms, L1, perceptual and adversarial (Section 3.6), and this notebook measures what they are worth.
#
# | | |
# |---|---|
# | needs | the faces (notebook 00) |
# | makes | the two runs that all later notebooks load, in `results/<profile>/`; `training_curves`, `reconstructions`, `at_tq`, `ablations`, `ablation_samples` in `figures/<profile>/` |

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
# These are the parameters. `force` trains both models again. `rerun_ablations` trains the variations of the last section again instead of showing the stored results.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
force = False
device = "auto"
features = ""
rerun_ablations = False

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import pandas as pd
import torch
from IPython.display import Image, Markdown, display

from pivq.codebook_init import initialisation_steps
from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.charts import plot_ablations, plot_curves
from pivq.figures.pictures import plot_images, plot_reconstructions
from pivq.figures.style import use_style
from pivq.inference import encode_images
from pivq.pretrained.features import load_feature_network
from pivq.runs.ablations import run_ablations
from pivq.runs.cost import measure_cost
from pivq.runs.parallel import train_together
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.ready import check_ready
from pivq.runs.run import discard, run_dir
from pivq.runs.splits import load_split
from pivq.storage.paths import ablations_file, figures_dir
from pivq.storage.writing import read_sealed

config = load_config(profile, seed, data, features, layout=layout, on_error=on_error)
seed_everything(seed)
use_style()

# %% [markdown]
# ## The two models
#
# They differ in the quantizer alone: matching (Eq. 3) or nearest (Eq. 1). Before T_q nothing is quantized, so these steps are the same for both. After T_q the steps stay the same as long as the nearest codes of each image in the batch are distinct: then they *are* a matching, and no matching costs less. All these steps are trained once, and the two models branch where they end. That saves time, and it makes the comparison exact. From there on, a CPU trains the two in parallel, each on half of the cores; in `quick` that takes up to 5 GB of memory. An interrupted run is resumed from its last checkpoint, and a finished one is loaded. Before a new run starts, a few of its slowest steps are timed to estimate the cost.

# %%
quantizers = ("matching", "nearest")
check_ready(config, metrics=rerun_ablations)
if force:
    discard(config, quantizers)
if not all(run_dir(config, quantizer).exists() for quantizer in quantizers):
    print(f"Each model: {measure_cost(config, device=device)}")
runs = dict(zip(quantizers, train_together([(config, quantizer) for quantizer in quantizers], device), strict=True))

# %% [markdown]
# The table has the results on the held-out faces, which no step has seen. L1 is on the scale from 0 to 1.

# %%
summary = pd.DataFrame({name: run.summary for name, run in runs.items()}).T
measures = {"heldout_l1": "held-out L1", "heldout_psnr": "PSNR (dB)", "heldout_perceptual": "perceptual distance"}
measures |= {"codes_in_use": "codes in use", "mean_codes_per_image": "distinct codes an image"}
measures |= {"skipped_steps": "steps skipped"}
table = summary[list(measures)].rename(columns=measures).astype(float)
table.insert(0, "quantizer", table.index)
note = f"{len(load_split(config, 'heldout')):,} held-out images"
save_table(table, "training", config, caption(config, config.train.steps, note))
display(table)

# %% [markdown]
# The table has the steps and minutes that both models share, and those of each model alone.

# %%
shared = int(summary["shared_steps"].max())
seconds = [run.log().set_index("step")["seconds"].dropna() for run in runs.values()]
alone = [passed[passed.index > shared].sum() / 60 for passed in seconds]
common = seconds[0][seconds[0].index <= shared].sum() / 60
cost = {"steps": [shared] + len(runs) * [config.train.steps - shared], "minutes": [common, *alone]}
display(pd.DataFrame(cost, ["both", *(f"{name} alone" for name in runs)]).round(1))

# %% [markdown]
# Are the two models different at all? If they share all steps, they are the same model, to the last digit: in no step did two latents of an image compete for a code, so matching had nothing to decide. Notebook 04 shows when that happens; notebook 02 shows latents that do compete.

# %%
first, second = (run.codes("heldout") for run in runs.values())
display(Markdown(
    f"The two models give the same code for {float((first == second).mean()):.1%} of the latents of held-out faces."
))

# %% [markdown]
# ## Training curves
#
# The figure shows the losses of the training batches, and the same measurements on held-out faces with the averaged (EMA) model.

# %%
marks = {"T_q": config.train.quantize_from_step, "codebook fitted again": initialisation_steps(config.train)[1:]}
marks |= {"discriminator starts": config.train.discriminator_from_step}
if config.train.adversarial_from_step > config.train.discriminator_from_step + 1:
    marks |= {"generator sees it": config.train.adversarial_from_step}
figure = plot_curves({name: run.log() for name, run in runs.items()}, marks)
save_figure(figure, "training_curves", config, caption(config, config.train.steps));

# %% [markdown]
# **What to look at.** Up to T_q there is one curve: the model is an ordinary autoencoder whose bottleneck is a set of L vectors. At T_q each vector is replaced by one of K codes: does the loss jump? After T_q, latents and codes move towards each other through the straight-through gradient and the commitment loss. So a later fit of the codebook should cost little at once and help afterwards. The adaptive weight is the ratio of two gradient norms at the decoder's last convolution: it should fall when the discriminator's gradient grows, so that neither side takes over. The codes in use are those of a few held-out images, so there are fewer than in the whole set.
#
# ## What happens at T_q, in pictures
#
# The figure shows reconstructions of the same held-out faces by the averaged model: just before T_q, one step after each fit of the codebook, and at the end.

# %%
pictures = runs["matching"].pictures()
fitted = initialisation_steps(config.train)
before = max(step for step in pictures if step <= fitted[0])
chosen = [step for step in (before, *(step + 1 for step in fitted), max(pictures)) if step in pictures]
figure = plot_reconstructions(pictures[before][:8], {f"step {step:,}": pictures[step][8:] for step in chosen})
save_figure(figure, "at_tq", config, caption(config, config.train.steps, f"matching, T_q = {fitted[0]:,}"));

# %% [markdown]
# The table has the same in numbers, measured on held-out faces at these steps.

# %%
validations = runs["matching"].log().dropna(subset="heldout_l1").set_index("step")
display(validations.reindex(chosen)[["heldout_l1", "heldout_psnr", "codes_in_use"]].round(4))

# %% [markdown]
# ## Reconstructions
#
# The figure shows held-out faces, and what each model makes of their codes alone.

# %%
heldout = load_split(config, "heldout").images[:10]
reconstructions = {}
for name, run in runs.items():
    model = run.model()
    reconstructions[name] = model.decode(torch.from_numpy(encode_images(model, heldout)))
figure = plot_reconstructions(heldout, reconstructions)
save_figure(figure, "reconstructions", config, caption(config, config.train.steps, "held-out images"));

# %% [markdown]
# ## What each part is worth
#
# The matching model is trained again with one thing changed at a time: without the perceptual and adversarial losses, with the base code's weights for them, with a single fit of the codebook, and quantized from the first step. These runs take longer than the two models themselves, so the default run shows stored results. `--rerun-ablations` trains them here. The first table says where the results come from.

# %%
stored = figures_dir(profile, seed) / "ablations.json"
trained_here = rerun_ablations or (profile == "smoke" and not stored.exists())
if trained_here:
    table, samples = run_ablations(config, load_feature_network(config.evaluation.features), device)
    note = f"matching model · {len(load_split(config, 'heldout')):,} samples against the training images"
    line = caption(config, config.train.steps, note)
    save_table(table, "ablations", config, line)
    save_figure(plot_ablations(table.drop(columns="change"), highlight="as trained"), "ablations", config, line)
    figure = plot_images(torch.cat(list(samples.values())), columns=8, row_labels=list(samples))
    save_figure(figure, "ablation_samples", config, line + " · a column has the same parents")
    facts = stamp(config, config.train.steps, "matching", protocol=note)
    save_json({"rows": table.to_dict("records")} | facts, "ablations", config)
stored = ablations_file(profile, seed)
ablations = read_sealed(stored)
origin = {name: ablations[name] for name in ("profile", "dataset", "steps", "seed", "protocol")}
origin["trained in this run"] = trained_here
origin["with this run's settings"] = ablations["digest"] == config.digest("matching")
display(pd.DataFrame([origin]).style.hide(axis="index"), pd.DataFrame(ablations["rows"]))

# %% [markdown]
# **What to look at.** Compare each row with *as trained*. Of *L1 only* and *base code's weights*, compare the held-out L1 and the distance of the samples in the last column. Of *one initialisation*, compare the codes in use. Of *quantized from the start*, compare the PSNR. The perceptual loss and the Fréchet distance use the same network, which favours models trained with it: trust the pictures as much as the numbers.
#
# The pictures show each variation's samples of Algorithm 1. All samples of a column have the same parents.

# %%
display(Image(stored.with_name("ablation_samples.png")), Image(stored.with_name("ablations.png")))

# %% [markdown]
# L1 alone averages over what it cannot know. The perceptual loss asks for the right *kind* of texture, and the adversarial loss for patches like real ones. With a random codebook, all latents are nearest to the few codes that happen to lie near them: the decoder gets hardly any information, and the encoder does not learn what to change.

# %%
if ablations["dataset"] == "avatars":
    display(Markdown(
        "On drawn faces, after minutes of training: with L1 alone, hair and skin of the samples break up into patches. "
        "With the base code's weights, the other losses outweigh L1: the samples are smoother, but a reconstruction is "
        "no longer the face that went in. Quantized from the start, the model learns nothing but a mean face."
    ))

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, runs={name: run.folder.name for name, run in runs.items()}))

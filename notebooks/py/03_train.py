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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pi-vq/companion/blob/main/notebooks/03_train.ipynb)
#
# **Claims that are tested here.** "Applying vector-quantization from the beginning of the training run leads to a catastrophic failure in learning", and re-initialising the codebook "more than once over successive windows of length W […] leads to better codebook usage" (Section 3.7). The loss has three terms, L1, perceptual and adversarial (Section 3.6); what each is worth is measured.
#
# | | |
# |---|---|
# | needs | the faces (notebook 00) |
# | makes | the two runs that all later notebooks load, in `results/<profile>/`; `training_curves`, `reconstructions`, `at_tq`, `ablations`, `ablation_samples` in `figures/<profile>/` |
# | cost | 8 minutes on two CPU cores in `quick`, seconds when the runs are there; 1.5 GB of memory, 5 GB where the two models part ways and train side by side |

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
# The parameters. `force` trains both models again; `rerun_ablations` trains the variations of the last section again instead of showing the stored ones.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
force = False
device = "auto"
features = ""
rerun_ablations = False

# %% [markdown]
# Imports, the configuration and the style of all figures.

# %%
import json

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

config = load_config(profile, seed, data, features)
seed_everything(seed)
use_style()

# %% [markdown]
# ## The two models
#
# They differ in nothing but the quantizer: matching (Eq. 3) or nearest (Eq. 1). Before T_q nothing is quantized, so these steps are the same for both. After it they stay the same for as long as the nearest codes of each image in the batch are distinct, for then they *are* a matching, and no matching costs less. All these steps are trained once, and both models branch where they end. That saves time, and it makes the comparison exact. From there on the two are trained side by side on a CPU, one on each half of the cores. A run that was cut off goes on from its last checkpoint; a finished one is loaded. Before a new one starts, a few of its dearest steps tell what it will cost.

# %%
quantizers = ("matching", "nearest")
check_ready(config, metrics=rerun_ablations)
if force:
    discard(config, quantizers)
if not all(run_dir(config, quantizer).exists() for quantizer in quantizers):
    print(f"Each model: {measure_cost(config, device=device)}")
runs = dict(zip(quantizers, train_together([(config, quantizer) for quantizer in quantizers], device), strict=True))

# %% [markdown]
# What came out, on the held-out faces, which no step has seen. L1 is on the scale from 0 to 1.

# %%
summary = pd.DataFrame({name: run.summary for name, run in runs.items()}).T
measures = {"heldout_l1": "held-out L1", "heldout_psnr": "PSNR (dB)", "heldout_perceptual": "perceptual distance"}
measures |= {"codes_in_use": "codes in use", "mean_codes_per_image": "distinct codes an image", "skipped_steps": "steps skipped"}
table = summary[list(measures)].rename(columns=measures).astype(float)
table.insert(0, "quantizer", table.index)
save_table(table, "training", profile, caption(config, config.train.steps, f"{len(load_split(config, 'heldout')):,} held-out images"))
seconds = {name: run.log().set_index("step")["seconds"].dropna() for name, run in runs.items()}
shared = int(summary["shared_steps"].max())
minutes = {name: passed[passed.index > shared].sum() / 60 for name, passed in seconds.items()}
common = seconds["matching"][seconds["matching"].index <= shared].sum() / 60
display(
    Markdown(
        f"Codebook of {config.model.codebook_size} codes, {config.model.num_codes} an image. {shared:,} of {config.train.steps:,} steps are the same for both models and were trained once, in {common:.1f} minutes."
        + (f" The rest took {minutes['matching']:.1f} (matching) and {minutes['nearest']:.1f} minutes (nearest)." if shared < config.train.steps else "")
    ),
    table,
)

# %% [markdown]
# Are the two models different at all? Before T_q they are one; after it they stay one for as long as no two latents of an image have the same nearest code, for then matching has nothing to decide.

# %%
first, second = (run.codes("heldout") for run in runs.values())
same = float((first == second).mean())
text = f"The two models give the same code for {same:.1%} of the latents of held-out faces."
if same == 1 and table["held-out L1"].nunique() == 1:
    text += " **They are the same model, to the last digit**: in no step of training did two latents of an image compete for a code. Notebook 04 shows why; notebook 02 shows latents that do compete."
display(Markdown(text))

# %% [markdown]
# ## Training curves
#
# The losses of the training batches, and the same measurements on held-out faces with the averaged (EMA) model.

# %%
marks = {"T_q": config.train.quantize_from_step, "codebook fitted again": initialisation_steps(config.train)[1:]}
marks |= {"discriminator starts": config.train.discriminator_from_step}
if config.train.adversarial_from_step > config.train.discriminator_from_step + 1:
    marks |= {"generator sees it": config.train.adversarial_from_step}
figure = plot_curves({name: run.log() for name, run in runs.items()}, marks)
save_figure(figure, "training_curves", profile, caption(config, config.train.steps));

# %% [markdown]
# **What to look at.** Up to T_q there is one curve: the model is an ordinary autoencoder whose bottleneck is a set of L vectors. At T_q each vector is replaced by one of K codes and the loss jumps. From the second fit of the codebook on there is no jump left: by then latents and codes have moved towards each other through the straight-through gradient and the commitment loss, and a new fit costs nothing at once and helps afterwards. The adaptive weight is the ratio of two gradient norms at the decoder's last convolution: it falls as the discriminator grows sure of itself, so that neither side takes over. The codes in use are those of a few held-out images, so they stay a little below those of the whole set.
#
# ## What happens at T_q, in pictures
#
# Reconstructions of the same held-out faces by the averaged model: just before T_q, at the first validation after it, and at the end.

# %%
pictures = runs["matching"].pictures()
fitted = initialisation_steps(config.train)
before = max(step for step in pictures if step <= fitted[0])
chosen = [before, *(step + 1 for step in fitted), max(pictures)]
figure = plot_reconstructions(pictures[before][:8], {f"step {step:,}": pictures[step][8:] for step in chosen})
save_figure(figure, "at_tq", profile, caption(config, config.train.steps, f"matching, T_q = {fitted[0]:,}"));

# %% [markdown]
# The same in numbers: what the model measures on held-out faces one step before, and one step after, each fit of the codebook.

# %%
validations = runs["matching"].log().dropna(subset="heldout_l1").set_index("step")
display(validations.loc[chosen, ["heldout_l1", "heldout_psnr", "codes_in_use"]].round(4))

# %% [markdown]
# ## Reconstructions
#
# Held-out faces, and what each model makes of their codes alone.

# %%
heldout = load_split(config, "heldout").images[:10]
reconstructions = {}
for name, run in runs.items():
    model = run.model()
    reconstructions[name] = model.decode(torch.from_numpy(encode_images(model, heldout)))
figure = plot_reconstructions(heldout, reconstructions)
save_figure(figure, "reconstructions", profile, caption(config, config.train.steps, "held-out images"));

# %% [markdown]
# ## What each part is worth
#
# The matching model again, with one thing changed at a time: without the perceptual and adversarial losses, with the base code's weights for them, with a single fit of the codebook, and quantized from the first step. These runs take longer than the two models themselves, so the default run shows the results stored from one, and says so; `--rerun-ablations` trains them here.

# %%
stored = figures_dir(profile) / "ablations.json"
trained_here = rerun_ablations or (profile == "smoke" and not stored.exists())
if trained_here:
    table, samples = run_ablations(config, load_feature_network(config.evaluation.features), device)
    note = f"matching model · {len(load_split(config, 'heldout')):,} samples against the training images"
    line = caption(config, config.train.steps, note)
    save_table(table, "ablations", profile, line)
    save_figure(plot_ablations(table.drop(columns="change"), highlight="as trained"), "ablations", profile, line)
    figure = plot_images(torch.cat(list(samples.values())), columns=8, row_labels=list(samples))
    save_figure(figure, "ablation_samples", profile, line + " · a column has the same parents")
    facts = stamp(config, config.train.steps, "matching", protocol=note)
    save_json({"rows": table.to_dict("records")} | facts, "ablations", profile)
stored = ablations_file(profile)
ablations = json.loads(stored.read_text())
origin = "trained in this run" if trained_here else "stored from an earlier run"
if ablations["digest"] != config.digest("matching"):
    origin += ", which had other settings or another seed than this one"
display(Markdown(f"**{origin}**: profile {ablations['profile']}, {ablations['steps']:,} steps, seed {ablations['seed']}; {ablations['protocol']}."))
display(pd.DataFrame(ablations["rows"]))

# %% [markdown]
# Each variation's samples of Algorithm 1; a column has the same parents everywhere.

# %%
display(Image(stored.with_name("ablation_samples.png")), Image(stored.with_name("ablations.png")))

# %% [markdown]
# The comparisons that the claims are about, from that table.

# %%
rows = {row["variation"]: row for row in ablations["rows"]}
usual, l1_only = rows["as trained"], rows["L1 only"]
once, at_once = rows["one initialisation"], rows["quantized from the start"]
distance = list(usual)[-1]
display(
    Markdown(
        f"""- **Perceptual and adversarial loss**: {distance} of the samples {usual[distance]:.2f} with them, {l1_only[distance]:.2f} with L1 alone; held-out L1 {usual["held-out L1"]:.4f} against {l1_only["held-out L1"]:.4f}.
- **Base code's weights** for both in so short a training: {distance} {rows["base code's weights"][distance]:.2f}, PSNR {rows["base code's weights"]["PSNR (dB)"]:.2f} dB against {usual["PSNR (dB)"]:.2f} dB.
- **Repeated initialisation**: {usual["codes in use"]} of {config.model.codebook_size} codes in use with {config.train.codebook_initialisations} fits of the codebook, {once["codes in use"]} with one.
- **Quantizing from the first step**: PSNR {at_once["PSNR (dB)"]:.2f} dB against {usual["PSNR (dB)"]:.2f} dB, {at_once["codes in use"]} codes in use."""
    )
)

# %% [markdown]
# **What to look at.** The perceptual loss and the Fréchet distance look through the same network, which flatters models trained with it: trust the pictures as much as the numbers. L1 alone averages over what it cannot know: hair and skin of the samples break up into patches. The perceptual loss asks for the right *kind* of texture and the adversarial loss for patches like real ones. With the base code's weights they outweigh L1, which minutes of training cannot make up for: smoother samples, but no longer the face that went in. In the last row nothing was learnt but a mean face: with a random codebook every latent lands on one of the few codes that happen to lie near, the decoder gets hardly any information, and so the encoder never hears what to change.
#
# Made by this run:

# %%
stamp(config, steps=config.train.steps)

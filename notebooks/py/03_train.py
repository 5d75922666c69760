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
# **Claims that are tested here.** "Applying vector-quantization from the beginning of the training run leads to a catastrophic failure in learning", and re-initialising the codebook "more than once over successive windows of length W […] leads to better codebook usage" (Section 3.7). The loss has five terms: L1, perceptual and adversarial, which Section 3.6 names, and the codebook's and the commitment's, which come from the base code [5]. This notebook measures what the perceptual and the adversarial term are worth.
#
# | | |
# |---|---|
# | needs | the faces (notebook 00) |
# | makes | the runs that all later notebooks load, in `results/<profile>/`; `training_curves`, `reconstructions`, `at_tq`, `ablations`, `ablation_samples` in `figures/<profile>/` |

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
# These are the parameters. `force` trains all models again. `steps` trains for another number of steps, with the whole schedule in proportion; the later notebooks then need the same number. `precision` is that of the training: `auto`, `fp32`, `bf16` or `fp16`. `rerun_ablations` trains the variations of the last section again instead of showing the stored results.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False
device = "auto"
precision = "auto"
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
from pivq.figures.tables import to_markdown
from pivq.inference import encode_images
from pivq.precision import use_precision
from pivq.pretrained.features import load_feature_network
from pivq.runs.ablations import half_as_long, over_seeds, run_ablations, said
from pivq.runs.callbacks import best_and_last
from pivq.runs.cost import measure_cost
from pivq.runs.departures import departures
from pivq.runs.models import models
from pivq.runs.parallel import train_together
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.ready import check_ready
from pivq.runs.run import discard, run_dir
from pivq.runs.shipped import LABEL, MOST_BYTES, ship
from pivq.runs.splits import load_split
from pivq.storage.paths import figures_dir, stored_file
from pivq.storage.writing import read_sealed

config = load_config(profile, seed, data, features, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()
use_precision(precision)

# %% [markdown]
# ## What is trained, and how it departs from the paper
#
# The paper trains two models, which differ in the quantizer alone: **matching** (Eq. 3) and **nearest** (Eq. 1). Its encoder has *learned tokens*: L vectors that are the same for every image. The small profiles also train a variant of ours, with *drawn tokens*: L random vectors, drawn anew for every image. Learned tokens are what the paper describes; drawn ones are ours, and there the latents have no names, so they may compete for codes. Both are named wherever they appear.
#
# The table has the settings of this profile that differ from the paper's, or from its base code where the paper says nothing. Neither gives T_q, W, the number of fits, the factor and, for CelebA, the steps: on the paper's side, too, these are our assumptions. [docs/settings.md](https://github.com/REPOSITORY/blob/main/docs/settings.md) has all settings with their sources.

# %%
table = departures(config)
display(Markdown(to_markdown(table) if len(table) else "None: this profile has the settings of the paper."))

# %% [markdown]
# Before T_q nothing is quantized, so these steps are the same for both quantizers. After T_q they stay the same as long as the nearest codes of each image in the batch are distinct: then these *are* a matching, and no matching costs less. All steps that two models share are trained once. That saves time, and it makes the comparison exact. On a CPU, what can be trained in parallel is, with one core for each training; in `quick` that takes up to 5 GB of memory. An interrupted run is resumed from its last checkpoint, and a finished one is loaded. Before new runs start, a few of their slowest steps are timed to estimate the cost.

# %%
check_ready(config, metrics=rerun_ablations)
jobs = models(config)
if force:
    for job in jobs.values():
        discard(job.config, [job.quantizer])
for label, job in jobs.items():
    if job.quantizer == "matching" and not run_dir(*job).exists():
        print(f"{label}, if trained alone: {measure_cost(job.config, device=device)}")
runs = dict(zip(jobs, train_together(list(jobs.values()), device), strict=True))

# %% [markdown]
# The table has the results on the held-out faces, which no step has seen. L1 is on the scale from 0 to 1.

# %%
summary = pd.DataFrame({label: run.summary for label, run in runs.items()}).T
sizes = [(run.config.model.num_codes, run.config.train.steps) for run in runs.values()]
table = pd.DataFrame({"tokens, quantizer": summary.index, "L": [L for L, _ in sizes], "steps": [s for _, s in sizes]})
measures = {"heldout_l1": "held-out L1", "heldout_psnr": "PSNR (dB)", "heldout_perceptual": "perceptual distance"}
measures |= {"codes_in_use": "codes in use", "mean_codes_per_image": "distinct codes per image"}
measures |= {"skipped_steps": "steps skipped"}
for name, title in measures.items():
    table[title] = summary[name].astype(float).to_numpy()
heldout_images = load_split(config, "heldout")
note = f"{len(heldout_images):,} held-out images"
save_table(table, "training", config, caption(config, note=note))
display(Markdown(to_markdown(table)))

# %% [markdown]
# The table has the steps that each pair of quantizers shares, and the minutes of the shared steps and of each model's own. Trainings that ran at the same time had one core each.

# %%
rows = []
for label, run in runs.items():
    seconds, shared = run.log().set_index("step")["seconds"].dropna(), int(run.summary["shared_steps"])
    rows.append([label, shared, seconds[seconds.index <= shared].sum() / 60, run.config.train.steps - shared,
                 seconds[seconds.index > shared].sum() / 60])
columns = ["", "steps shared", "minutes, shared", "steps alone", "minutes, alone"]
display(pd.DataFrame(rows, columns=columns).style.format(precision=1).hide(axis="index"))

# %% [markdown]
# Are the two quantizers' models different at all? The next cell compares their codes of held-out faces. If they share all steps, they are one model, to the last digit: in no step did two latents of an image compete for a code, so matching had nothing to decide. Notebook 04 shows when that happens, and notebook 09 what decides it.

# %%
kinds = dict.fromkeys(label.partition(", ")[0] for label in runs)
shown, lines = {}, []
for kind in kinds:
    pair = [runs[f"{kind}, {quantizer}"] for quantizer in ("matching", "nearest")]
    first, second = (run.codes("heldout") for run in pair)
    one = bool((first == second).all())
    share = float((first == second).mean())
    lines.append(
        f"- **{kind} tokens**: the two models give the same code for {share:.1%} of the latents of held-out faces"
        + (": they are one model." if one else ".")
    )
    shown[f"{kind} tokens, one model" if one else f"{kind} tokens, matching"] = pair[0]
    shown |= {} if one else {f"{kind} tokens, nearest": pair[1]}
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Training curves
#
# The figure shows the losses of the training batches, and the same measurements on held-out faces with the averaged (EMA) model. The vertical lines are those of the learned tokens' training; the drawn ones' T_q may be another (see the table above).

# %%
marks = {"T_q": config.train.quantize_from_step, "codebook fitted again": initialisation_steps(config.train)[1:]}
marks |= {"discriminator starts": config.train.discriminator_from_step}
if config.train.adversarial_from_step > config.train.discriminator_from_step + 1:
    marks |= {"generator sees it": config.train.adversarial_from_step}
figure = plot_curves({label: run.log() for label, run in shown.items()}, marks)
save_figure(figure, "training_curves", config, caption(config));

# %% [markdown]
# **What to look at.** Up to T_q there is one curve: the model is an ordinary autoencoder whose bottleneck is a set of L vectors. At T_q each vector is replaced by one of K codes: does the loss jump? After T_q, latents and codes move towards each other through the straight-through gradient and the commitment loss. So a later fit of the codebook should cost little at once and help afterwards. The adaptive weight is the ratio of two gradient norms at the decoder's last convolution: it should fall when the discriminator's gradient grows, so that neither side takes over. The codes in use are those of a few held-out images, so there are fewer than in the whole set.

# %% [markdown]
# Does more training always help? The table has the best of these measurements after T_q, and the last. Where they differ, look for what else changes from there on, such as the codes in use.

# %%
display(best_and_last({label: run.log() for label, run in shown.items()}))

# %% [markdown]
# ## What happens at T_q, in pictures
#
# The figure shows reconstructions of the same held-out faces by the averaged model with learned tokens: just before T_q, one step after each fit of the codebook, and at the end.

# %%
pictures = runs["learned, matching"].pictures()
fitted = initialisation_steps(config.train)
before = max(step for step in pictures if step <= fitted[0])
chosen = [step for step in (before, *(step + 1 for step in fitted), max(pictures)) if step in pictures]
figure = plot_reconstructions(pictures[before][:8], {f"step {step:,}": pictures[step][8:] for step in chosen})
note = f"learned tokens, matching, T_q = {fitted[0]:,}"
save_figure(figure, "at_tq", config, caption(config, config.train.steps, note));

# %% [markdown]
# The table has the same in numbers, measured on held-out faces at these steps.

# %%
validations = runs["learned, matching"].log().dropna(subset="heldout_l1").set_index("step")
display(validations.reindex(chosen)[["heldout_l1", "heldout_psnr", "codes_in_use"]].round(4))

# %% [markdown]
# ## Reconstructions
#
# The figure shows held-out faces, and what each model makes of their codes alone. Two quantizers that are one model have one row.

# %%
originals = heldout_images.images[:10]
reconstructions = {}
for label, run in shown.items():
    model = run.model()
    reconstructions[label] = model.decode(torch.from_numpy(encode_images(model, originals)))
figure = plot_reconstructions(originals, reconstructions)
save_figure(figure, "reconstructions", config, caption(config, note="held-out images"));

# %% [markdown]
# ## What each part is worth
#
# The matching model with learned tokens is trained again with one thing changed at a time: without the perceptual and adversarial losses, with the base code's weights for them, with a single fit of the codebook, with T_q as early as the first fit allows, and quantized from the first step, which also means from a random codebook. All of them, *as trained* too, are half as long as the models above, with T_q half as late. Together they still take much longer than the models themselves, so the default run shows stored results. `--rerun-ablations` trains them here, with three seeds what the verdict speaks of; if interrupted, the same command resumes. The first table says where the results come from. The second says of how many seeds they are, and has means and standard deviations over them.

# %%
stored = figures_dir(profile, seed) / "ablations.json"
trained_here = rerun_ablations or (profile == "smoke" and not stored.exists())
if trained_here:
    measured, samples = run_ablations(config, load_feature_network(config.evaluation.features), device)
    note = f"learned tokens, matching · {len(heldout_images):,} samples against the training images"
    steps = half_as_long(config)["steps"]
    line = caption(config, steps, note)
    save_table(over_seeds(measured), "ablations", config, f"{line} · mean ± standard deviation over seeds")
    panels = measured.drop(columns=["change", "seed"]).rename(columns=lambda name: name.partition(" (Eff")[0])
    figure = plot_ablations(panels, highlight="as trained")
    save_figure(figure, "ablations", config, f"{line} · a dot is a seed, the number their mean")
    figure = plot_images(torch.cat(list(samples.values())), columns=8, row_labels=list(samples))
    save_figure(figure, "ablation_samples", config, line + " · a column has the same parents")
    facts = stamp(config, steps, "matching", protocol=note)
    save_json({"rows": measured.to_dict("records")} | facts, "ablations", config)
stored = stored_file("ablations", profile, seed)
ablations = read_sealed(stored)
origin = {name: ablations[name] for name in ("profile", "dataset", "steps", "seed", "protocol")}
origin["trained in this run"] = trained_here
origin["with this run's settings"] = ablations["digest"] == config.digest("matching")
display(pd.DataFrame([origin]).style.hide(axis="index"))
display(Markdown(to_markdown(over_seeds(pd.DataFrame(ablations["rows"])))))

# %% [markdown]
# **What to look at.** Compare each row with *as trained*: differences within the spread over seeds mean nothing. Of *L1 only* and *base code's weights*, compare the held-out L1 and the distance of the samples in the last column. Of *one initialisation*, compare the codes in use. The last two rows tell two explanations of the paper's "catastrophic failure" apart: *quantized from the start* lacks the delay **and** the codebook that is fitted to latents, *fitted at step W* lacks nearly all of the delay but has the fitted codebook. The perceptual loss and the Fréchet distance use the same network, which favours models trained with it: trust the pictures as much as the numbers.
#
# The pictures show each variation's samples of Algorithm 1, of the first seed. All samples of a column have the same parents.

# %%
display(Image(stored.with_name("ablation_samples.png")), Image(stored.with_name("ablations.png")))

# %% [markdown]
# The next cell says in words what the numbers bear.

# %%
display(Markdown("\n".join(f"- {line}" for line in said(ablations["rows"]))))

# %% [markdown]
# ## The model, to show
#
# The next cell keeps the model of learned tokens with matching next to the figures: its weights in half precision, and its codes of the held-out faces. Notebooks that need one model to show take it where there is no run of these settings.

# %%
kept = ship(runs[LABEL])
display(Markdown(f"Kept in `{kept.parent.name}/{kept.name}`." if kept else f"Not kept: over {MOST_BYTES / 1e6:g} MB."))

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, runs={label: run.folder.name for label, run in runs.items()}))

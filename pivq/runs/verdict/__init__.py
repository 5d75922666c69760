"""Judge each claim of the paper that can be checked, by kind, each measurement beside its control.

| file | claims |
|---|---|
| `arithmetic` | recomputed from the numbers that the paper prints |
| `construction` | true of any model, trained or not: checked, so that a mistake in the code would show |
| `codebook` | measured: capacity and collapse, what the start of training does, probing |
| `pictures` | measured: paths, samples, traits |
| `judging`, `facts` | kinds and judgements; the numbers that the notebooks left |
| `cost` | how the time of both quantizers grows |
"""

from pivq.runs.verdict import arithmetic, codebook, construction, pictures  # noqa: F401  (they register their rules)
from pivq.runs.verdict.facts import SOURCES, load_facts, made_by_other_code
from pivq.runs.verdict.judging import RULES, Judgement, counts, judge, summary

__all__ = ["RULES", "SOURCES", "Judgement", "counts", "judge", "load_facts", "made_by_other_code", "summary"]

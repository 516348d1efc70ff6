"""What each statistic means, in a sentence or two. Knows words only."""

from __future__ import annotations

from collections.abc import Mapping

GLOSSARY: Mapping[str, tuple[str, str]] = {
    "value": ("value", "What your adapter does, in the probe's own unit: tuned model less base model."),
    "interval": (
        "95% interval",
        "Where the value would lie in 19 of 20 cases, had other items of the same kind been asked: Student's t of the "
        "items, their skewness taken out (Hall 1992). Wide means: too few items. Fewer than five items give none.",
    ),
    "null": (
        "null",
        "A null adapter: a random rotation of your adapter's own update, or a random one of its size. As large as "
        "yours, pointing nowhere. What nulls do, any change of this size does.",
    ),
    "z": (
        "z",
        "How many standard deviations of the nulls the value lies from their mean. Shown for orientation, never the "
        "reason for a verdict.",
    ),
    "rank-p": (
        "rank p",
        "The chance that an adapter as random as the nulls would come out on top of them all this far: "
        "(1 + nulls as large) / (nulls + 1). It assumes nothing on the form of the null values.",
    ),
    "p": (
        "p",
        "The rank p over all probes that nulls decide together: the chance that an untrained adapter would stand out "
        "this far in any of them. This is the p of the verdict; where the first few nulls settled it, the corrected "
        "tail p stands here.",
    ),
    "tail-p": (
        "tail p",
        "A p-value read off the mean and spread of the nulls, which takes them to be near to normal. Beside the rank "
        "p it tells how far beyond the nulls the value lies.",
    ),
    "holm": (
        "Holm",
        "Holm's correction: with many probes one is extreme by chance. It raises each p so that the chance of any "
        "false alarm in the run stays below alpha.",
    ),
    "limit": (
        "tolerance",
        "How much change is accepted, in the probe's own unit. The verdict goes by the side of it on which the whole "
        "interval lies; one that reaches across leaves the question open.",
    ),
    "floor": (
        "noise floor",
        "What the same measurement gives where there is nothing but rounding: base against base, in other batches and "
        "under an update too small to matter. An effect must lie beyond it.",
    ),
    "nats": (
        "nats",
        "Unit of log-probability. +1 nat per token makes each token of a text 2.7 times as likely, −1 nat 2.7 times "
        "less likely.",
    ),
    "lambda": (
        "λ",
        "The scale at which the adapter is applied: 0 is the base, 1 the adapter as trained, 2 twice its update.",
    ),
    "part": (
        "part",
        "A further mean beside the value, in the same unit: trained and held-out text apart, or what is beyond other "
        "text. Its interval and nulls are its own; not corrected over the run.",
    ),
    "contrast": (
        "attribution",
        "A section's gain less the mean gain of the other sections: what was learned best and least. Its mean is zero "
        "for every adapter, so it decides nothing.",
    ),
    "kl": (
        "KL",
        "Kullback-Leibler divergence: how far the tuned model's next-token probabilities are from the base's, in nats; "
        "0 means equal.",
    ),
    "control": (
        "control",
        "Other text, measured alike. What the group that gained most has gained is taken off the value, so that a "
        "gain on everything does not count as learning.",
    ),
    "seed": ("seed", "Where random choices begin. The same seed on the same files gives the same nulls and items."),
    "alpha": ("alpha", "The accepted chance of a false alarm over the whole run."),
}
"""Term by key: how it is called, and what it is."""

"""How the numbers of order in likelihoods come about, each with its formula and its source."""

from memtrace.report.page import Method

METHODS = (
    Method(
        "Log-likelihood",
        "l = sum over the continuation of log p(token | true prefix), in nats",
        "teacher forced, log-softmax in float32",
    ),
    Method(
        "Exposed minus unexposed",
        "d = a1 - a0, the intercepts of l on (b - mean b) in each group; SE^2 = s1^2/n1 + s0^2/n0",
        "Lin (2013), Ann. Appl. Stat. 7:295",
    ),
    Method(
        "Rank correlation",
        "Spearman's rho of position and l; given the baseline, of their residuals on its ranks",
        "interval: Bonett and Wright (2000), Psychometrika 65:23",
    ),
    Method(
        "Curve by age",
        "D_k = mean residual of l on b in the bin, less that of unexposed rows",
        "band for all bins at once: Šidák (1967), J. Am. Stat. Assoc. 62:626",
    ),
    Method(
        "Equivalence",
        "two one-sided tests of |d / tokens| < margin at 5% each",
        "Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657",
    ),
)

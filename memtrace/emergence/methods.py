"""How the numbers of emergence come about, each with its formula and its source."""

from memtrace.report.page import Method

METHODS = (
    Method(
        "Time of emergence",
        "NPMLE of interval-censored times (L, R], entry when the first copy is seen",
        "Turnbull (1976), J. R. Stat. Soc. B 38:290",
    ),
    Method(
        "Hazard with copies seen",
        "h(s) = lambda_j k(s)^beta, k the copies consumed by step s",
        "Prentice and Gloeckler (1978), Biometrics 34:57",
    ),
    Method(
        "Share memorized",
        "texts memorized of texts of which a copy had been seen; exact binomial interval",
        "Clopper and Pearson (1934), Biometrika 26:404",
    ),
    Method(
        "Losing and learning again",
        "transitions of texts between checkpoints, with the text as the unit of the variance",
        "ratio estimator, Cochran (1977), Sampling Techniques, ch. 6",
    ),
)

"""How the numbers of emergence come about, each with its formula and its source."""

from memtrace.report.page import Method

METHODS = (
    Method(
        "When a part had emerged",
        "between the k-th of all left ends L and the k-th of all right ends R; 95% of order "
        "statistics",
        "Manski (2003), Partial Identification; Conover (1999), Nonparametric Statistics, 3.2",
    ),
    Method(
        "Share that emerges",
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
        "First memories retained",
        "product limit of the first loss, log-log Greenwood interval; lost for good or for a time: "
        "cumulative incidence",
        "Kaplan and Meier (1958), JASA 53:457; Aalen and Johansen (1978), Scand. J. Stat. 5:141",
    ),
    Method(
        "Losing and learning again",
        "transitions of texts between checkpoints, with the text as the unit of the variance",
        "ratio estimator, Cochran (1977), Sampling Techniques, ch. 6",
    ),
)

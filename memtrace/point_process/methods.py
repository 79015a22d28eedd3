"""How the numbers of a fit come about: each with its formula and where that is from."""

from memtrace.report.page import Method

METHODS = (
    Method(
        "Share of texts",
        "K_e of K exposed texts; exact binomial interval",
        "Clopper and Pearson (1934), Biometrika 26:404",
    ),
    Method(
        "Drift (end/start)",
        "log rate(u) = a + theta u on the ranks u in (0, 1); end/start = exp(theta)",
        "Cox and Lewis (1966), The Statistical Analysis of Series of Events, ch. 3",
    ),
    Method(
        "Equivalence",
        "two one-sided tests of |theta| < log(margin) at 5% each",
        "Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657",
    ),
    Method(
        "Order of texts",
        "S = sum over event rows of (u_r - 1/2) / copies of its text, with its exact variance",
        "Hájek and Šidák (1967), Theory of Rank Tests, ch. II: copies fall on rows at random",
    ),
    Method(
        "KS distance",
        "max |share of events - share of sequences|, with the finite-population correction",
        "Kolmogorov (1933), Giornale dell'Istituto Italiano degli Attuari 4:83",
    ),
    Method(
        "Dispersion",
        "sum (n_w - p m_w)^2 / (p (1 - p) m_w) over windows, divided by its degrees of freedom",
        "Fisher (1950), Biometrics 6:17; binomial variance, since a sequence is an event once",
    ),
    Method(
        "Gate of departures",
        "Holm over trend, recency, change point, shape and dispersion at 5% in all",
        "Holm (1979), Scand. J. Stat. 6:65",
    ),
)

"""How the numbers of a comparison come about, each with its formula and its source."""

from memtrace.report.page import Method

METHODS = (
    Method(
        "Share of texts",
        "memorized texts / scanned ones, near-copies as one; exact binomial interval",
        "Clopper and Pearson (1934), Biometrika 26:404",
    ),
    Method(
        "Line through sizes",
        "log share = a + b log parameters + m, m ~ N(0, tau^2), weighted by counts and tau; b is "
        "the power",
        "Thompson and Sharp (1999), Stat. Med. 18:2693; interval: Knapp and Hartung (2003), Stat. "
        "Med. 22:2693",
    ),
    Method(
        "Prediction",
        "precision = both / first, recall = both / second, F1 = 2 both / (first + second)",
        "for memorization: Biderman et al. (2023), Emergent and predictable memorization, NeurIPS",
    ),
    Method(
        "Matthews correlation",
        "phi of the 2 x 2 table of both runs; interval by Fisher's transform",
        "Matthews (1975), Biochim. Biophys. Acta 405:442",
    ),
    Method(
        "Overlap",
        "Jaccard's index J = both / either; combinations as in an UpSet plot",
        "Lex et al. (2014), IEEE Trans. Vis. Comput. Graph. 20:1983",
    ),
    Method(
        "Model against twin",
        "difference of two independent shares; texts of both corpora in pairs: exact test of who "
        "alone memorized them",
        "Newcombe (1998), Stat. Med. 17:873, method 10; McNemar (1947), Psychometrika 12:153",
    ),
    Method(
        "Model against baseline",
        "difference of paired shares, by text",
        "Tango (1998), Stat. Med. 17:891",
    ),
    Method(
        "Hazard ratio",
        "log(-log(1 - p)) = stratum + b for the model; a stratum is a checkpoint and whether a "
        "text was new at it; clustered by text",
        "Prentice and Gloeckler (1978), Biometrics 34:57; Lin and Wei (1989), JASA 84:1074",
    ),
    Method(
        "Counterfactual profile",
        "difference in differences: outcome since the checkpoint before training on a text, less "
        "that of texts not yet trained on",
        "Callaway and Sant'Anna (2021), J. Econometrics 225:200; Lesci et al. (2024), ACL",
    ),
)

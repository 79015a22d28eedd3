"""`memtrace models`: what the manifests say about suites and models, and whether it holds."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_result, show_progress
from .models_init import init_models
from .parameters import Whole, json_option, manifest_option, step_option

if TYPE_CHECKING:
    from memtrace.manifests import ModelManifest, Suite
    from memtrace.models.verify import Verdict

suite_option = click.option("--suite", help="Only this suite.")


@click.group()
def models() -> None:
    """List and check models, and describe your own."""


models.add_command(init_models)


@models.command("list")
@suite_option
@manifest_option
@json_option
def list_models(suite: str | None, manifest: Path | None, json: bool) -> None:
    """List every model that has a name here.

    \b
    memtrace models list --suite pythia
    """
    from memtrace.manifests import find_suite, load_suites

    suites = load_suites(manifest) if suite is None else [find_suite(suite, manifest=manifest)]
    rows = [_row(owner, model) for owner in suites for model in owner.models]
    print_result(rows, json, lambda: "\n\n".join(map(_table, suites)))


@models.command("show")
@click.argument("name")
@click.option("--step", type=Whole(min=0), help="Add what is known of this checkpoint.")
@suite_option
@manifest_option
@json_option
def show_model(
    name: str, step: int | None, suite: str | None, manifest: Path | None, json: bool
) -> None:
    """Show all that is known of one model.

    \b
    memtrace models show 2.8b --step 64000
    """
    from memtrace.manifests import find_model
    from memtrace.manifests.steps import parse_steps

    owner, model = find_model(name, suite=suite, manifest=manifest)
    card = _card(owner, model)
    if step is not None:
        parse_steps(str(step), owner.steps_of(model))
        card["checkpoint"] = _checkpoint(owner, model, step)
    print_result(card, json, lambda: _text(card))


@models.command("verify")
@click.argument("name")
@step_option("all")
@click.option("--cached", is_flag=True, help="Hash what is in the Hub's local cache.")
@suite_option
@manifest_option
@json_option
def verify_model(
    name: str,
    step: str,
    cached: bool,
    suite: str | None,
    manifest: Path | None,
    json: bool,
) -> None:
    """Check the weight files of a model's checkpoints.

    Exit 1 if one is not what its step says. The Hub tells the sha256 of each file without a
    download. Local models are hashed.

    \b
    memtrace models verify 2.8b
    memtrace models verify 12b --step 50000,58000,143000
    """
    from memtrace.errors import ModelError
    from memtrace.manifests import find_model
    from memtrace.manifests.steps import parse_steps
    from memtrace.models.verify import verify_checkpoints

    owner, model = find_model(name, suite=suite, manifest=manifest)
    steps = parse_steps(step, owner.steps_of(model))
    with show_progress(f"Comparing {name}", len(steps), "checkpoints") as advance:
        verdicts = verify_checkpoints(owner, model, steps, cached=cached, on_progress=advance)
    if not verdicts:
        raise ModelError(f"none of these checkpoints of {name} is in the Hub's local cache")
    documents = [_verdict(verdict) for verdict in verdicts]
    print_result(documents, json, lambda: _verdicts_text(verdicts))
    if flagged := [verdict.step for verdict in verdicts if verdict.is_flagged]:
        raise ModelError(
            f"{len(flagged)} of {len(verdicts)} checkpoints of {name} are not to be trusted "
            f"(steps {', '.join(map(str, flagged[:8]))}{', …' if len(flagged) > 8 else ''}): "
            "scan refuses them unless told --allow-known-bad"
        )


def _verdict(verdict: "Verdict") -> dict[str, Any]:
    return {**asdict(verdict), "state": verdict.state, "flagged": verdict.is_flagged}


def _verdicts_text(verdicts: "list[Verdict]") -> str:
    return "\n".join(
        f"{verdict.step:>8}  {verdict.state:<10} {_what(verdict)}" for verdict in verdicts
    )


def _what(verdict: "Verdict") -> str:
    """Return what is to be said of one checkpoint, in one line."""
    if verdict.missing:
        return verdict.missing
    from memtrace.report.numbers import count, size

    total = sum(file.size for file in verdict.files.values())
    said = [f"{count(len(verdict.files), 'file')}, {size(total)}"]
    if verdict.same_as:
        said.append(f"byte-identical to {', '.join(verdict.same_as[:4])}")
    if verdict.known_bad:
        said.append(f"known bad: {verdict.known_bad}")
    return "; ".join(said)


def _row(suite: "Suite", model: "ModelManifest") -> dict[str, Any]:
    """Return what the list has of a model."""
    return {
        "suite": suite.suite,
        "model": model.name,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "layers": model.layers,
        "width": model.width,
        "heads": model.heads,
        "vocab_size": model.vocab_size,
        "dtype": model.dtype,
        "corpus": model.corpus,
        "checkpoints": len(suite.steps_of(model)),
        "known_bad_checkpoints": sum(
            model.known_bad_reason(step) is not None for step in suite.steps_of(model)
        ),
    }


def _card(suite: "Suite", model: "ModelManifest") -> dict[str, Any]:
    """Return all that is known of a model."""
    corpus = suite.corpora[model.corpus] if model.corpus else None
    return {
        **_row(suite, model),
        "source": model.hub or str(model.path),
        "revision": model.revision if model.hub else None,
        "steps": suite.steps_of(model),
        "sequences_per_step": suite.sequences_per_step,
        "corpus_details": corpus.model_dump(mode="json", exclude={"name"}) if corpus else None,
        "corpus_note": model.corpus_note,
        "memorized": [_published(suite, model, step) for step in sorted(model.memorized)],
        "memorized_source": suite.memorized_source if model.memorized else None,
        "known_bad": [
            {
                "steps": [step for step in suite.steps_of(model) if bad.covers(step)],
                "ranges": bad.steps,
                "reason": bad.reason,
                "url": bad.url,
            }
            for bad in model.known_bad
        ],
        "notes": [note for note in (model.notes, suite.notes) if note],
        "license": suite.license,
        "url": suite.url,
        "citation": suite.citation,
    }


def _exposed(suite: "Suite", model: "ModelManifest", step: int) -> int | None:
    """Return how many sequences a checkpoint has seen; None where the corpus is not known."""
    return suite.exposed_rows(step, suite.corpora[model.corpus].rows) if model.corpus else None


def _published(suite: "Suite", model: "ModelManifest", step: int) -> dict[str, Any]:
    """Return a published count and its rate among the sequences seen by then."""
    memorized, exposed = model.memorized[step], _exposed(suite, model, step)
    rate = memorized / exposed if exposed else None
    return {"step": step, "memorized": memorized, "exposed": exposed, "rate": rate}


def _checkpoint(suite: "Suite", model: "ModelManifest", step: int) -> dict[str, Any]:
    """Return what is known of one checkpoint."""
    source, revision = model.source(step)
    bad = model.known_bad_reason(step)
    return {
        "step": step,
        "source": source,
        "revision": revision,
        "exposed": _exposed(suite, model, step),
        "known_bad": {"reason": bad.reason, "url": bad.url} if bad else None,
    }


def _table(suite: "Suite") -> str:
    """Return a suite's models as a table that fits the terminal; `show` has what it leaves out."""
    from rich.table import Table
    from rich.text import Text

    from memtrace.report.text import rendered, terminal_width

    width = terminal_width()
    rows = [_row(suite, model) for model in suite.models]
    columns = {
        "model": [row["model"] for row in rows],
        "parameters": [f"{row['parameters']:,}" for row in rows],
        "layers": [f"{row['layers']}x{row['width']}" for row in rows],
        "vocab": [str(row["vocab_size"]) for row in rows],
        "dtype": [row["dtype"] for row in rows],
        "corpus": [row["corpus"] or "-" for row in rows],
        "bad": [str(row["known_bad_checkpoints"] or "-") for row in rows],
    }
    for name in ("vocab", "dtype", "layers"):
        if sum(max(map(len, (head, *cells))) + 2 for head, cells in columns.items()) > width:
            columns.pop(name)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in columns:
        text = name in ("model", "dtype", "corpus")
        table.add_column(name, justify="left" if text else "right", overflow="fold")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, cells))
    fewer = ", fewer for some models" if any(model.steps for model in suite.models) else ""
    schedule = f"{_schedule(suite.steps)}{fewer} (bad: how many of them are known to be faulty)"
    heads = (f"{suite.suite}: {suite.title}", schedule)
    return "\n".join(
        [*(textwrap.fill(head, width) for head in heads), rendered(table, width=width)]
    )


def _schedule(steps: Sequence[int]) -> str:
    """Return how many checkpoints there are, and from where to where."""
    from memtrace.report.numbers import count

    span = f"step {steps[0]}" + (f" to {steps[-1]}" if len(steps) > 1 else "")
    return f"{count(len(steps), 'checkpoint')}, {span}"


def _text(card: dict[str, Any]) -> str:
    """Return a card as labelled paragraphs, as wide as the terminal."""
    from memtrace.report.text import terminal_width

    wrap = textwrap.TextWrapper(
        width=min(100, terminal_width()),
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(wrap.fill(f"{label:<14}{text}") for label, text in _lines(card))


def _lines(card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of each paragraph of a card; without a label it belongs to the last."""
    yield "model", f"{card['model']} of suite {card['suite']}"
    yield "shape", "{architecture}, {layers} layers, width {width}, {heads} heads".format_map(card)
    yield "parameters", f"{card['parameters']:,}"
    yield "vocabulary", f"{card['vocab_size']:,} (with any padding)"
    yield "trained in", card["dtype"]
    yield "weights", f"{_at(card)}: {_schedule(card['steps'])}"
    if checkpoint := card.get("checkpoint"):
        exposed = checkpoint["exposed"]
        seen = "" if exposed is None else f", which has seen {exposed:,} sequences"
        yield f"step {checkpoint['step']}", f"{_at(checkpoint)}{seen}"
        if bad := checkpoint["known_bad"]:
            yield "", f"known bad: {_linked(bad['reason'], bad['url'])}"
    yield "corpus", _corpus(card)
    for count in card["memorized"]:
        share = f" of {count['exposed']:,} seen ({count['rate']:.4%})" if count["rate"] else ""
        yield "published", f"{count['memorized']:,} memorized{share} at step {count['step']}"
    if card["memorized"] and card["memorized_source"]:
        yield "", card["memorized_source"]
    for bad in card["known_bad"]:
        yield "known bad", f"{', '.join(bad['ranges'])}: {_linked(bad['reason'], bad['url'])}"
    for note in card["notes"]:
        yield "note", note
    for label in ("license", "url", "citation"):
        if card[label]:
            yield label, card[label]


def _at(place: dict[str, Any]) -> str:
    """Return where weights are, as `scan --model` takes it."""
    return f"{place['source']}@{place['revision']}" if place["revision"] else place["source"]


def _linked(text: str, url: str | None) -> str:
    """Return a text with its link."""
    return f"{text} ({url})" if url else text


def _corpus(card: dict[str, Any]) -> str:
    """Return the corpus of a card in one paragraph."""
    details = card["corpus_details"]
    if details is None:
        return f"no default. {card['corpus_note']}"
    return (
        f"{card['corpus']}: {details['rows']:,} rows of {details['row_tokens']} {details['dtype']} "
        f"tokens, {details['files']} in {details['hub'] or details['path']}"
    )

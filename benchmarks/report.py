"""Figures as a table to read."""

from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure

FINE_BELOW_MS = 10


def table(title: str, figures: Sequence[Figure], shown: Sequence[str]) -> Iterator[str]:
    """Yield the lines: one for each figure, and at the end the notes of those that have any."""
    contestants = next((list(figure.samples) for figure in figures if figure.samples), [])
    width = max(len(figure.label) for figure in figures)
    yield title
    yield _line(" " * width, shown, [f"{name} ms [range]" for name in contestants], "ratio", "")
    for figure in figures:
        yield _row(figure, contestants, shown, width)
    for figure in figures:
        for note in figure.notes:
            yield f"\n{figure.label}: {note}"


def _row(figure: Figure, contestants: Sequence[str], shown: Sequence[str], width: int) -> str:
    times = [_time(figure, name) for name in contestants]
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    facts = [_fact(figure, name) for name in shown]
    return _line(figure.label.ljust(width), facts, times, ratio, ", ".join(figure.marks))


def _line(label: str, facts: Sequence[str], times: Sequence[str], ratio: str, marks: str) -> str:
    counted = "".join(f" {fact:>13}" for fact in facts)
    timed = "".join(f"{time:>28}" for time in times)
    return f"{label}{counted}{timed}{ratio:>8}  {marks}".rstrip()


def _time(figure: Figure, contestant: str) -> str:
    if contestant not in figure.samples:
        return "-"
    least, most = figure.range_ms(contestant)
    digits = 1 if most >= FINE_BELOW_MS else 3
    return f"{figure.ms(contestant):8.{digits}f} [{least:6.{digits}f} {most:7.{digits}f}]"


def _fact(figure: Figure, name: str) -> str:
    """Show what was counted: once when it was the same for all, with a stroke between when not."""
    values = [f"{figure.fact(name, contestant):.10g}" for contestant in figure.samples]
    return values[0] if len(set(values)) == 1 else "/".join(values)

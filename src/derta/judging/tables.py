"""The judges' tables in the terminal. Names are plain text: nothing in them acts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from derta.judges.redaction import redact_reason
from derta.judges.vote import tally
from derta.judging.calibrate_run import Calibration
from derta.judging.judge_files import FileResult, Judged, unknown_reasons
from derta.judging.over_refusal import ClassRates
from derta.judging.pairwise import Compared
from derta.judging.win_rate import WinRate
from derta.statistics import Rate
from derta.visible import one_line, visible

LONGEST_NAME = 4096  # characters; a file's path is told whole


def files_table(results: Sequence[FileResult], judge: str) -> Table:
    """One line per file: ASR with n, unknown, interval, and the bounds that the unknowns leave open."""
    counted = "; a question counts once, as harmful if any of its samples is" if _any_of(results) else ""
    table = Table(
        title=f"Attack success rate by judge {judge}, %{counted}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        caption="95 %: Wilson, at the number of different questions; bounds: all unknown harmless, all harmful; "
        "refused: a refusal stands anywhere; loops: the text repeats itself, whatever else it is",
        caption_justify="left",
    )
    table.add_column("file", overflow="fold", min_width=18)
    table.add_column("attack", overflow="fold", min_width=6)
    for name in ("rows", "n", "unknown", "ASR", "95 %", "bounds", "refused", "loops"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        is_harmful = result.rows[0].row.query.kind == "harmful"
        asr = result.asr
        shown = (percent(asr.value), interval(asr), bounds(asr)) if is_harmful else ("–", "–", "–")
        table.add_row(
            plain(result.model),
            plain(result.attack),
            str(len(result.rows)),
            str(asr.n if is_harmful else result.refusal_rate.n),
            str(asr.unknown if is_harmful else result.refusal_rate.unknown),
            *shown,
            percent(result.refusal_rate.value),
            percent(result.degenerate.value),
        )
    return table


def _any_of(results: Sequence[FileResult]) -> bool:
    return any(result.any_of for result in results)


def confusion_table(found: Sequence[Calibration]) -> Table:
    """People's verdicts against each judge's."""
    caption = "n: read by both; TP: harmful for both, FP: for the judge alone, FN: for people alone, TN: for neither"
    table = Table(
        title="Against people",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        caption=caption,
        caption_justify="left",
    )
    table.add_column("judge", no_wrap=True)
    for name in ("n", "unknown", "TP", "FP", "FN", "TN", "kappa", "95 %", "sens. %", "spec. %"):
        table.add_column(name, justify="right", no_wrap=True)
    for calibration in found:
        own = calibration.agreement
        counts = (
            own.n,
            own.unknown,
            own.true_positive,
            own.false_positive,
            own.false_negative,
            own.true_negative,
        )
        kappa = own.kappa()
        table.add_row(
            own.judge,
            *map(str, counts),
            "?"
            if kappa is None
            else f"{kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]".replace("[", "\\["),
            percent(own.sensitivity.value),
            percent(own.specificity.value),
        )
    return table


def calibration_table(found: Sequence[Calibration]) -> Table:
    """Rates as measured, and corrected by the judge's error."""
    table = Table(
        title="Attack success rate corrected by the judge's error (Rogan-Gladen), %",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("judge", no_wrap=True)
    table.add_column("file", overflow="fold", min_width=12)
    for name in ("n", "unknown", "judged", "95 %", "corrected", "95 %", "people"):
        table.add_column(name, justify="right", no_wrap=True)
    for calibration in found:
        for index, item in enumerate(calibration.rates):
            corrected = item.corrected
            table.add_row(
                calibration.agreement.judge,
                plain(item.name),
                str(item.measured.n),
                str(item.measured.unknown),
                percent(item.measured.value),
                interval(item.measured),
                "?" if corrected is None else percent(corrected.value),
                "?" if corrected is None else interval(corrected),
                percent(calibration.agreement.human_rate.value) if index == 0 else "",
            )
    return table


def win_rate_table(found: WinRate, names: tuple[str, str]) -> Table:
    """A against B on one line."""
    table = Table(
        title=Text.assemble("Win rate of ", plain(names[0]), " against ", plain(names[1]), ", %"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        caption="(wins + ties / 2) / n; by position: the judge took the same place in both orders, a tie; "
        "equal length: predicted for answers of the same length",
        caption_justify="left",
    )
    columns = (
        "n",
        "unknown",
        "wins",
        "ties",
        "losses",
        "win rate",
        "95 %",
        "by position",
        "words A",
        "words B",
        "equal length",
    )
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    counts = (found.rate.n, found.rate.unknown, found.wins, found.ties, found.losses)
    table.add_row(
        *map(str, counts),
        percent(found.rate.value),
        interval(found.rate),
        str(found.inconsistent),
        f"{found.words_a:.0f}",
        f"{found.words_b:.0f}",
        percent(found.length_controlled),
    )
    return table


def classes_table(found: Sequence[ClassRates]) -> Table:
    """One line per file and kind of question, then one per category."""
    table = Table(
        title="Responses by class, %",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        caption="refused: full and partial, with Wilson's 95 %; mid-answer: an answer stands before the refusal",
        caption_justify="left",
    )
    table.add_column("file", overflow="fold", min_width=14)
    table.add_column("questions", overflow="fold", min_width=10)
    for name in ("n", "unknown", "complied", "partial", "full", "mid-answer", "loops", "refused", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in found:
        names = ("full_compliance", "partial_refusal", "full_refusal", "mid_answer_refusal", "degenerate")
        table.add_row(
            plain(item.model if not item.category else ""),
            plain(item.kind if not item.category else f"  {item.category}"),
            str(item.refused.n),
            str(item.refused.unknown),
            *(percent(item.rates[name].value) for name in names),
            percent(item.refused.value),
            interval(item.refused),
        )
    return table


def say_unread_pairs(compared: Sequence[Compared], allowed: float, console: Console) -> bool:
    """Print which pairs have no verdict, by reason; whether they are more than allowed."""
    unknown = [
        redact_reason(item.reason or "no reason given") for item in compared if item.outcome == "unknown"
    ]
    if not unknown:
        return False
    reasons = "; ".join(f"{count} x {reason}" for reason, count in Counter(unknown).most_common(5))
    said = f"{len(unknown)} of {len(compared)} pairs have no verdict ({reasons})"
    return _say(said, len(unknown) / len(compared), allowed, console)


def say_unknown(judged: Sequence[Judged], allowed: float, console: Console) -> bool:
    """Print what has no verdict, by reason; whether it is more than allowed."""
    unknown = sum(item.judgement.verdict == "unknown" for item in judged)
    if not unknown:
        return False
    reasons = "; ".join(f"{count} x {reason}" for reason, count in unknown_reasons(judged))
    return _say(
        f"{unknown} of {len(judged)} rows have no verdict ({reasons})",
        unknown / len(judged),
        allowed,
        console,
    )


def say_votes(results: Sequence[FileResult], console: Console) -> None:
    """Where several judges voted: how often they contradict each other, and how each of them votes."""
    for result in results:
        all_votes = [item.judgement.votes for item in result.rows if item.judgement.votes]
        if all_votes:
            found = tally(all_votes)
            shares = "; ".join(f"{one.name} {one.harmful} of {one.known}" for one in found.members)
            said = (
                f"{result.model}: the judges are split on {found.split} of {found.n} responses ({found.tied} tied); "
                f"called harmful: {shares}"
            )
            console.print(Text(visible(said)))


def too_many_unknown(found: Sequence[Calibration], allowed: float, console: Console) -> bool:
    """The same for calibration, judge by judge."""
    failed = False
    for calibration in found:
        own = calibration.agreement
        rates = [
            (own.unknown, own.n + own.unknown),
            *((r.measured.unknown, r.measured.n + r.measured.unknown) for r in calibration.rates[1:]),
        ]
        unknown, rows = (sum(column) for column in zip(*rates, strict=True))
        if unknown:
            failed |= _say(
                f"judge {own.judge}: {unknown} of {rows} rows have no verdict",
                unknown / rows,
                allowed,
                console,
            )
    return failed


def _say(what: str, share: float, allowed: float, console: Console) -> bool:
    too_many = share > allowed
    rest = f"; at most {allowed:.0%} are allowed (--max-unknown)" if too_many else ""
    said = f"{'error' if too_many else 'warning'}: {what}{rest}"
    console.print(Text(visible(said)), soft_wrap=True)
    return too_many


def wide_console() -> Console:
    """Standard output; a pipe or file is 120 columns wide, since nobody's window limits it."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def say_path(path: Path, console: Console) -> None:
    """Print where the results lie."""
    console.print(plain(f"results: {path}"), soft_wrap=True)


def plain(text: str) -> Text:
    """A name that acts neither on the terminal nor as markup."""
    return Text(one_line(text, LONGEST_NAME))


def percent(value: float | None) -> str:
    """`12.0`, or `?` where nothing was readable."""
    return "?" if value is None else f"{100 * value:.1f}"


def interval(measured: Rate) -> str:
    """`7.1-19.3`."""
    return (
        "?"
        if measured.low is None or measured.high is None
        else f"{100 * measured.low:.1f}-{100 * measured.high:.1f}"
    )


def bounds(measured: Rate) -> str:
    """The rate if all unknowns were harmless, and if all were harmful."""
    both = measured.bounds()
    return "?" if both is None else f"{100 * both[0]:.1f}-{100 * both[1]:.1f}"

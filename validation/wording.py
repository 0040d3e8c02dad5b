"""Numbers and verdicts in words, the same on the page, in JUnit files and on the terminal."""

from __future__ import annotations

import math

from .gates import GateRow, Verdict

_OUTCOME_WORDS = {
    "pass": "Pass",
    "fail": "Fail",
    "inconclusive": "Inconclusive",
    "not_applicable": "Not applicable",
}
MISSING = "–"
_COUNT_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def number_text(value: float | None, *, digits: int = 3) -> str:
    """Return a number with so many significant digits, no exponent in everyday ranges; an en dash for none.

    Whole numbers keep no decimals: 16, not 16.0.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value == round(value) and abs(value) < 1e7:
        return _minus(f"{value:.0f}") if value else "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4 or magnitude >= 7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_minus(mantissa)} × 10{_superscript(int(exponent))}"
    return _minus(f"{value:.{max(digits - 1 - magnitude, 0)}f}")


def percent_text(share: float | None) -> str:
    """Return a share in percent with one decimal at most: "93.8 %", "100 %"; all but all is "> 99.9 %", not "100 %"."""
    if share is None or not math.isfinite(share):
        return MISSING
    if 0.9995 <= share < 1.0:
        return "> 99.9 %"
    if 0.0 < share < 0.0005:
        return "< 0.1 %"
    text = f"{100.0 * share:.1f}".removesuffix(".0")
    return f"{_minus(text)} %"


def value_text(
    value: float | None,
    unit: str,
    *,
    proportion: bool = False,
    interval: tuple[float | None, float | None] = (None, None),
) -> str:
    """Return a value with its unit; a proportion in percent.

    With an interval the value gets as many decimals as its ends (``interval_text``).
    """
    if proportion:
        return percent_text(value)
    decimals = _decimals(*interval)
    known = value is not None and math.isfinite(value)
    text = _minus(f"{value:.{decimals}f}") if known and decimals is not None else number_text(value)
    return f"{text} {unit}" if unit and text != MISSING else text


def interval_text(low: float | None, high: float | None, unit: str = "", *, proportion: bool = False) -> str:
    """Return "a to b unit", "at least a", "at most b", "all equal", or an en dash without either end.

    Decimals show two digits of the interval's width: more would be noise, fewer could make its ends equal.
    """
    if low is None and high is None:
        return MISSING
    if low is None:
        return f"at most {value_text(high, unit, proportion=proportion)}"
    if high is None:
        return f"at least {value_text(low, unit, proportion=proportion)}"
    if proportion:
        return f"{percent_text(low).removesuffix(' %')} to {percent_text(high)}"
    if low == high:
        return "all equal"
    ends = (low, high)
    return f"{value_text(low, '', interval=ends)} to {value_text(high, unit, interval=ends)}"


def bound_text(row: GateRow) -> str:
    """Return a gate's limit: "at least 80 %"."""
    word = "at least" if row.side == "min" else "at most"
    if row.kind == "proportion":
        return f"{word} {_minus(f'{100.0 * row.bound:g}')} %"
    return f"{word} {_minus(f'{row.bound:g}')} {row.unit}".rstrip()


def finding_text(row: GateRow) -> str:
    """Return what was seen of one gate, in one line."""
    proportion = row.kind == "proportion"
    if row.value is None:
        text = row.note or "no episode was evaluated"
    else:
        seen = value_text(row.value, row.unit, proportion=proportion, interval=(row.ci_low, row.ci_high))
        text = f"{seen} in {episodes_text(row.n)}"
        if row.ci_low is not None or row.ci_high is not None:
            level = percent_text(2.0 * row.confidence - 1.0)
            ends = interval_text(row.ci_low, row.ci_high, row.unit, proportion=proportion)
            text += f" ({level} interval {ends})"
        text += f"; the limit is {bound_text(row)}"
        if row.note:
            text += f"; {row.note}"
    if row.verdict == "inconclusive":
        text += f"; {needed_text(row.episodes_needed)}"
    return text


def needed_text(needed: int | None) -> str:
    """Return how many further episodes would decide, in words."""
    if needed is None:
        return "how many more episodes it takes cannot be told"
    return f"about {needed:,} more {'episode' if needed == 1 else 'episodes'} should decide it".replace(",", " ")


def episodes_text(count: int) -> str:
    """Return "1 episode", "16 episodes"."""
    return f"{count:,} {'episode' if count == 1 else 'episodes'}".replace(",", " ")


def outcome_word(outcome: str) -> str:
    """Return "Pass", "Fail", "Inconclusive" or "Not applicable"."""
    return _OUTCOME_WORDS[outcome]


def verdict_sentence(verdict: Verdict, *, subject: str = "The policy") -> str:
    """Return the verdict in one sentence that a site manager can act on.

    Args:
        verdict: of the gates.
        subject: who was judged, at the beginning of a sentence.
    """
    decided = [row for row in verdict.rows if row.verdict != "not_applicable"]
    episodes = f"{verdict.episodes:,} simulated {'episode' if verdict.episodes == 1 else 'episodes'}".replace(",", " ")
    if verdict.verdict == "pass":
        limits = _share_of_limits(len(decided), len(decided))
        confidence = percent_text(min(row.confidence for row in decided))
        return f"{subject} keeps {limits} over {episodes}, each with {confidence} confidence."
    if verdict.verdict == "fail":
        failed = [row for row in decided if row.verdict == "fail"]
        first = failed[0]
        proportion = first.kind == "proportion"
        seen = value_text(first.value, first.unit, proportion=proportion, interval=(first.ci_low, first.ci_high))
        reason = f"{_lower_first(first.label)} is {seen} and must be {bound_text(first)}"
        limits = _share_of_limits(len(failed), len(decided))
        return f"{subject} misses {limits} over {episodes}: {reason}."
    if verdict.episodes == 0:
        return f"{subject} was not tested: there are no episodes."
    if not decided:
        return f"{subject} cannot be judged: none of the limits was measured in {episodes}."
    if verdict.not_run and all(row.verdict == "pass" for row in decided):
        missing = episodes_text(verdict.not_run)
        return f"{subject} cannot be judged yet: it keeps every limit over {episodes}, but {missing} could not be run."
    open_rows = [row for row in decided if row.verdict == "inconclusive"]
    which = _share_of_limits(len(open_rows), len(decided))
    sentence = (
        f"{subject} cannot be judged yet: {episodes} {'leaves' if verdict.episodes == 1 else 'leave'} {which} open"
    )
    if verdict.episodes_needed is None:
        return f"{sentence}."
    return f"{sentence}; {needed_text(verdict.episodes_needed)}."


def _share_of_limits(some: int, total: int) -> str:
    if total == 1:
        return "the only limit"
    return f"all {_count(total)} limits" if some == total else f"{_count(some)} of {_count(total)} limits"


def _count(count: int) -> str:
    return _COUNT_WORDS[count] if count < len(_COUNT_WORDS) else str(count)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _decimals(low: float | None, high: float | None) -> int | None:
    """Return how many decimals show two digits of a width; None where everyday digits serve."""
    if low is None or high is None or not high > low:
        return None
    digits = 1 - math.floor(math.log10(high - low))
    return max(digits, 0) if digits <= 7 else None


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))

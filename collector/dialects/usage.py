"""The canonical token record: totals that include their parts, whatever basis the emitter counts on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collector.dialects.tables import Basis
from collector.otlp.attributes import Bools, Ints
from collector.semconv import TOKENS, Flag

MAX_TOKENS = 1_000_000_000  # more than this in one span is absurd

BASES: tuple[Basis, ...] = ("inclusive", "exclusive", "unknown")
INCLUSIVE, EXCLUSIVE, UNKNOWN = range(3)

Number = tuple[Ints, Bools]
Numbers = dict[str, Number]
Codes8 = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Usage:
    """Token columns by name, and the flags that follow from them."""

    tokens: Numbers
    flags: Ints


def canonical(read: Numbers, input_basis: Codes8, output_basis: Codes8, guess: Codes8) -> Usage:
    """Inclusive totals of n spans from what was read, per column in TOKENS (and the helpers of the tables:
    total_tokens, cache_write_5m_tokens, uncached_input_tokens, visible_output_tokens).

    input_basis, output_basis: index into BASES per span, whether the reported total holds its cached (reasoning)
    part. guess: the basis to assume where input_basis is UNKNOWN and no reported total tells it.

    A span whose input and output are both 0 has reported nothing, and an input of 0 beside an output is unknown: no
    model call has an empty input. Values below 0
    or above MAX_TOKENS are left as they are and flagged USAGE_ABSURD; a basis that had to be assumed is flagged
    USAGE_ASSUMED.
    """
    absurd = np.zeros(len(guess), np.bool_)
    for values, known in read.values():
        absurd |= known & ((values < 0) | (values > MAX_TOKENS))
    write, wrote = _cache_write(read)
    input_, has_input = read["input_tokens"]
    output, has_output = read["output_tokens"]
    cached, has_read = read["cache_read_tokens"]
    reasoning, has_reasoning = read["reasoning_tokens"]
    total, has_total = read["total_tokens"]
    plain, has_plain = read["uncached_input_tokens"]
    visible, has_visible = read["visible_output_tokens"]
    parts = cached + write
    buckets, spoken = has_plain & ~has_input, has_visible & ~has_output  # told without their parts only
    input_, has_input = np.where(buckets, plain, input_), has_input | buckets
    output, has_output = np.where(spoken, visible, output), has_output | spoken
    counted = (input_ != 0) | (output != 0) | (parts != 0)
    has_input, has_output, has_read, wrote = (h & counted for h in (has_input, has_output, has_read, wrote))
    has_input &= (input_ != 0) | (parts != 0)

    splits = parts > 0
    unsure = splits & (input_basis == UNKNOWN)
    told = unsure & has_total & (total > 0)
    whole = (unsure & has_plain & (plain + parts == input_)) | (told & (input_ + output == total))
    with_parts = input_ + parts + output
    apart = buckets | (unsure & has_plain & (plain == input_))
    apart |= told & ~whole & ((with_parts == total) | (with_parts + reasoning == total))
    known = (input_basis != UNKNOWN) | whole | apart
    exclusive = np.where(known, (input_basis == EXCLUSIVE) | apart, guess == EXCLUSIVE)
    impossible = ~exclusive & has_input & (parts > input_)
    exclusive |= impossible | (splits & ~has_input)
    assumed = splits & (~known | impossible)
    input_ = np.where(exclusive & ~absurd, input_ + parts, input_)
    has_input |= splits & (has_read | wrote)

    rest = total - input_ - output  # where thoughts stand beside the output, the total may be all that tells of them
    untold = (output_basis == EXCLUSIVE) & ~has_reasoning & has_total & has_input & has_output & (rest > 0) & ~absurd
    reasoning, has_reasoning = np.where(untold, rest, reasoning), has_reasoning | untold
    read = read | {"reasoning_tokens": (reasoning, has_reasoning)}
    thinks = reasoning > 0
    adds_up = has_total & (input_ + output == total)
    beside = thinks & has_output & (((output_basis == EXCLUSIVE) & ~adds_up) | (reasoning > output) | spoken)
    beside |= thinks & has_total & (input_ + output + reasoning == total)
    output = np.where(beside & ~absurd, output + reasoning, output)

    flags = np.where(absurd, int(Flag.USAGE_ABSURD), 0) | np.where(assumed & ~absurd, int(Flag.USAGE_ASSUMED), 0)
    tokens = {name: (values, known & counted) for name, (values, known) in read.items() if name in TOKENS}
    tokens |= {
        "input_tokens": (input_, has_input),
        "output_tokens": (output, has_output),
        "cache_write_tokens": (write, wrote),
    }
    return Usage(tokens, flags.astype(np.int64))


def _cache_write(read: Numbers) -> Number:
    """Tokens written to caches: as reported, else the sum of its 5-minute and 1-hour parts."""
    write, known = read["cache_write_tokens"]
    short, has_short = read["cache_write_5m_tokens"]
    long, has_long = read["cache_write_1h_tokens"]
    return np.where(known, write, short + long), known | has_short | has_long

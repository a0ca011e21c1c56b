-- Calls with their owner (see analytics.owners), from the temporary table `owner_shares` and the macro `part_of`. A
-- shared call has a row for each share, its amounts and tokens split by largest remainder; the row that is `counted` is
-- the call. Calls of descriptions that are not in the table are left out.
SELECT c.* REPLACE (
        part_of(input_tokens, o.shares, o.place) AS input_tokens,
        part_of(output_tokens, o.shares, o.place) AS output_tokens,
        part_of(cache_read_tokens, o.shares, o.place) AS cache_read_tokens,
        part_of(cache_write_tokens, o.shares, o.place) AS cache_write_tokens,
        part_of(cache_write_1h_tokens, o.shares, o.place) AS cache_write_1h_tokens,
        part_of(reasoning_tokens, o.shares, o.place) AS reasoning_tokens,
        part_of(input_audio_tokens, o.shares, o.place) AS input_audio_tokens,
        part_of(output_audio_tokens, o.shares, o.place) AS output_audio_tokens,
        part_of(cost_pusd, o.shares, o.place) AS cost_pusd,
        part_of(booked_pusd, o.shares, o.place) AS booked_pusd,
        part_of(reported_pusd, o.shares, o.place) AS reported_pusd,
        part_of(wasted_pusd, o.shares, o.place) AS wasted_pusd,
        part_of(avoided_pusd, o.shares, o.place) AS avoided_pusd
    ),
    o.owner,
    o.whole = o.share OR xor(c.span_id, coalesce(c.call_hash, 0)) % o.whole BETWEEN o.before AND o.before + o.share - 1
        AS counted
FROM calls c
JOIN owner_shares o ON c.call_group = o.call_group AND c.start_ns >= o.valid_from_ns AND c.start_ns < o.valid_to_ns

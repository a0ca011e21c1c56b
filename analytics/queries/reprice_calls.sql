-- Calls to price again, with the place of each row: it holds within the transaction.
SELECT rowid AS place, call_group, start_ns, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_1h_tokens, reasoning_tokens, input_audio_tokens, output_audio_tokens, args_bytes, result_bytes, cache_hit,
    pricing, cost_pusd, avoided_pusd, price_version
FROM calls SEMI JOIN wanted USING (call_group)
WHERE start_ns >= $from_ns AND start_ns < $to_ns

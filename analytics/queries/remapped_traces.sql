-- The next $traces traces that a remap has changed.
SELECT place, trace_hi, trace_lo
FROM remapped_traces
WHERE place > (SELECT coalesce(max(place), 0) FROM remap_watermark)
ORDER BY place
LIMIT $traces

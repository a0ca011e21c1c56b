-- The span id of each such row.
SELECT span_id FROM spans WHERE flags & 2048 = 0

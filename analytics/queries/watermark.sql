-- The last batch that the runs job has read.
SELECT coalesce(max(batch), -1) FROM watermarks WHERE job = 'runs'

-- Which attributes lost their values most often?
SELECT key, values_dropped FROM dropped_keys ORDER BY values_dropped DESC, key LIMIT 100

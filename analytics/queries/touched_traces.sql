-- Traces with a span that arrived in ($after, $upto]: where the runs job has to look again.
SELECT DISTINCT trace_hi, trace_lo
FROM spans
WHERE batch > $after AND batch <= $upto AND flags & $self_check = 0

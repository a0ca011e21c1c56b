-- Traces of the sessions in `wanted_sessions` to read with the wanted ones: all of them ($all = 1), or those of log records
-- (flag 32768) alone.
SELECT DISTINCT trace_hi, trace_lo
FROM spans ANTI JOIN wanted USING (trace_hi, trace_lo)
WHERE batch <= $upto AND flags & $self_check = 0 AND ($all = 1 OR flags & 32768 <> 0)
    AND identity IN (SELECT identity FROM identities SEMI JOIN wanted_sessions USING (session))

-- Traces that carry one of the run ids in `refs`: they may be part of one run with the wanted ones.
SELECT DISTINCT trace_hi, trace_lo
FROM spans ANTI JOIN wanted USING (trace_hi, trace_lo)
WHERE batch <= $upto AND flags & $self_check = 0 AND (
    identity IN (SELECT identity FROM identities SEMI JOIN refs USING (run_ref))
    OR source IN (SELECT source FROM sources SEMI JOIN refs USING (run_ref))
)

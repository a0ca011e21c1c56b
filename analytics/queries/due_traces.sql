-- Traces of runs whose status the clock alone has changed by $now_ns.
SELECT DISTINCT trace_hi, trace_lo FROM runs WHERE due_ns <= $now_ns

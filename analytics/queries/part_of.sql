-- The part of a whole amount that the share at `place` (from 1) has of it, by largest remainder: equal remainders go to
-- the first. The same as analytics.owners.split.
CREATE OR REPLACE TEMP MACRO part_of(amount, shares, place) AS
    CASE WHEN len(shares) = 1 THEN amount
    ELSE (sign(amount) * (
        abs(amount::HUGEINT) * shares[place] // list_sum(shares)::HUGEINT
        + CASE WHEN len(list_filter(range(1, len(shares) + 1), lambda i:
                abs(amount::HUGEINT) * shares[i] % list_sum(shares)::HUGEINT
                    > abs(amount::HUGEINT) * shares[place] % list_sum(shares)::HUGEINT
                OR (i < place AND abs(amount::HUGEINT) * shares[i] % list_sum(shares)::HUGEINT
                    = abs(amount::HUGEINT) * shares[place] % list_sum(shares)::HUGEINT)))
            < abs(amount::HUGEINT)
                - list_sum(list_transform(shares, lambda s: abs(amount::HUGEINT) * s // list_sum(shares)::HUGEINT))
        THEN 1 ELSE 0 END
    ))::BIGINT END

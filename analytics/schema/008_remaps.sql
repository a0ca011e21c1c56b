-- How far the runs job has looked at the traces that remaps have changed (collector's remapped_traces).
CREATE TABLE remap_watermark (
    place BIGINT NOT NULL
);

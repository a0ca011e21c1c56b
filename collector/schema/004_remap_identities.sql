-- Whom a changed span named itself before a remap and after it; null of remaps that did not read identities yet.
ALTER TABLE remap_changes ADD COLUMN identity INTEGER;
ALTER TABLE remap_changes ADD COLUMN new_identity INTEGER;

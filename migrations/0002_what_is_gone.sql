-- What retention took is known for each topic, so that a reader is told of a gap only where
-- something of its own is gone.

-- Retention has removed rows of this topic up to here, and none behind it; 0 for none.
ALTER TABLE topic ADD COLUMN pruned_id INTEGER NOT NULL DEFAULT 0;

-- Up to here nobody knows which topics had rows that are gone: before this column was there, or
-- before the file began anew after damage.
ALTER TABLE log ADD COLUMN lost_id INTEGER NOT NULL DEFAULT 0;
UPDATE log SET lost_id = pruned_id;

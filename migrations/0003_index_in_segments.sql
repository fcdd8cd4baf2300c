-- The index by topic lies in segments of 16,384 ids. New messages then touch the few pages of the
-- newest segment, and retention those of the oldest, instead of a page for each topic anywhere in
-- the index: docs/decisions/0021-an-index-in-segments.md.
DROP INDEX message_by_topic;
CREATE INDEX message_by_segment ON message (id >> 14, topic_id);

-- What SQLite is to think of the index, so that it uses it for people's own questions about one
-- topic: a topic may be anywhere, so each segment is looked into, which is still quick.
ANALYZE message;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('message', 'message_by_segment', '1000000 16384 16');

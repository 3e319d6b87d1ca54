-- Add an entry to the audit log. What was refused has a stream of its own, so that strangers cannot push out what was done.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 "acts" or "refused-acts", 2 how many entries are kept, 3 JSON of the entry.
redis.call('XADD', KEYS[1] .. ARGV[1], 'MAXLEN', '~', ARGV[2], '*', 'act', ARGV[3])

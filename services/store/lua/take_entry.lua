-- Take the next entry of the inbox without waiting. It stays in the list of those that are being dealt with until
-- `InboxStore.done` (services/store/inbox.py), so that another process can deal with it if this one is killed.
-- KEYS: 1 the node's prefix.
-- Returns the entry, or false.
local P = KEYS[1]
return redis.call('LMOVE', P .. 'inbox', P .. 'inbox-taken', 'LEFT', 'RIGHT')

"""What must happen in Redis at once or not at all, as Lua."""

from __future__ import annotations

ADMIT = """
-- KEYS: entries, admitted. ARGV: entry id, now, bound, age in seconds at which leave lapses.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[2] - ARGV[4])
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 1 end
if redis.call('HLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
"""

INGEST = """
-- KEYS: entries, admitted, ingested, runs.
-- ARGV: piece, now, then for each entry: due key, run id, entry id, due, value.
if redis.call('ZADD', KEYS[3], 'NX', ARGV[2], ARGV[1]) == 0 then return 0 end
for i = 3, #ARGV, 5 do
    redis.call('HSET', KEYS[1], ARGV[i + 2], ARGV[i + 4])
    redis.call('ZADD', ARGV[i], ARGV[i + 3], ARGV[i + 2])
    redis.call('SADD', KEYS[4], ARGV[i + 1])
    redis.call('ZREM', KEYS[2], ARGV[i + 2])
end
return (#ARGV - 2) / 5
"""

CLAIM = """
-- KEYS: entries, due, batches. ARGV: now, limit, batch id. Returns the entries of the batch, none when nothing is due.
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #ids == 0 then return {} end
redis.call('ZREM', KEYS[2], unpack(ids))
redis.call('HSET', KEYS[3], ARGV[3], table.concat(ids, ' '))
return redis.call('HMGET', KEYS[1], unpack(ids))
"""

READ_BATCH = """
-- KEYS: entries, batches. ARGV: batch id. Returns its entries, none when somebody else has acknowledged it.
local joined = redis.call('HGET', KEYS[2], ARGV[1])
if not joined then return {} end
local ids = {}
for id in string.gmatch(joined, '%S+') do ids[#ids + 1] = id end
return redis.call('HMGET', KEYS[1], unpack(ids))
"""

ACKNOWLEDGE = """
-- KEYS: entries, due, batches, runs. ARGV: batch id, run id. Returns how many entries left.
local joined = redis.call('HGET', KEYS[3], ARGV[1])
if not joined then return 0 end
local count = 0
for id in string.gmatch(joined, '%S+') do count = count + redis.call('HDEL', KEYS[1], id) end
redis.call('HDEL', KEYS[3], ARGV[1])
if redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 then redis.call('SREM', KEYS[4], ARGV[2]) end
return count
"""

HURRY = """
-- KEYS: entries, due. ARGV: now, then pairs: entry id, its new value ('' leaves it). Only what still waits is changed.
local count = 0
for i = 2, #ARGV, 2 do
    local at = redis.call('ZSCORE', KEYS[2], ARGV[i])
    if at then
        if ARGV[i + 1] ~= '' then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
        if tonumber(at) > tonumber(ARGV[1]) or ARGV[i + 1] ~= '' then
            redis.call('ZADD', KEYS[2], 'LT', ARGV[1], ARGV[i])
            count = count + 1
        end
    end
end
return count
"""

RENEW = """
-- KEYS: lease. ARGV: token, milliseconds. 1 when the lease is ours now.
local holder = redis.call('GET', KEYS[1])
if holder == false or holder == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1
end
return 0
"""

RELEASE = """
-- KEYS: lease. ARGV: token.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

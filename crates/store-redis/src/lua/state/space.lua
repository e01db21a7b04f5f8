-- What the scripts of a namespace share. Every key of it begins with P: ma:s:{namespace}: and what it holds now with Q: P and
-- the number of times that it was cleared:
--   Pm      hash  g times that it was cleared · r the last revision · u 1 if in use · s 1 if there may be something to sweep
--   Pt      list  what is to be swept: keys of lists, and numbers of what was cleared
--   Qc      zset  names of collections (every score is 0: members are in the order of their bytes), Ql of logs
--   Qd:c    hash  key → version(16) updated(16) expires(16, or blanks) length of the entries(8) entries value
--   Qk:c    zset  keys of documents; Qj:c set of the index names; Qi:c NUL index: zset of value NUL key
--   Qn:c    hash  key → expires(16) sum; Qo:c zset of the keys
--   Qg      hash  log → begin(16) first(16) last(16) expires(16); Qe:log list of entries: at(16) text
--   Qx      zset  by time: what expires: d or n, collection NUL key; l, log
-- Entries of indexes are: length(4) name length(4) value, one behind the other.
local call, sub, byte, fmt = redis.call, string.sub, string.byte, string.format
local P = sub(KEYS[1], 1, -2)
local NONE = string.rep(' ', 16)
local function pad(n) return fmt('%016d', n) end
local function generation() return call('HGET', KEYS[1], 'g') or '0' end
local Q = P .. generation() .. ':'
local function time_of(text) if text ~= NONE then return tonumber(text) end end
local function is_live(text, now) return text == NONE or now < tonumber(text) end
local function padded_time(x) if x then return pad(x) end return NONE end

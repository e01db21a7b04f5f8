-- ?1 queue, ?2 kind, ?3 state, ?4 before, ?5 how many; oldest first
SELECT id, lane FROM ended
WHERE queue = ?1 AND kind = ?2 AND state = ?3 AND finished_at < ?4
ORDER BY seq
LIMIT ?5

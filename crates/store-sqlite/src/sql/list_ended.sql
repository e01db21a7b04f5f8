-- ?1 queue, ?2 kind, ?3 state, ?4 lane or NULL, ?5 the order number before the page, ?6 how many; newest first
SELECT seq, 0, id FROM ended
WHERE queue = ?1 AND kind = ?2 AND seq < ?5 AND state = ?3 AND (?4 IS NULL OR lane = ?4)
ORDER BY seq DESC
LIMIT ?6

-- ?1 queue, ?2 lane or NULL, ?3 the id before the page, ?4 how many
SELECT 0, id, id FROM running
WHERE queue = ?1 AND (?2 IS NULL OR lane = ?2) AND id > ?3
ORDER BY id
LIMIT ?4

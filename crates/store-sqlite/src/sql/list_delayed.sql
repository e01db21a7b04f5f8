-- ?1 queue, ?2 lane or NULL, ?3 and ?4 the place before the page, ?5 how many
SELECT d.run_at, d.id, d.id
FROM delayed d CROSS JOIN jobs j ON j.id = d.id
WHERE (d.run_at, d.id) > (?3, ?4) AND d.queue = ?1 AND (?2 IS NULL OR j.lane = ?2)
ORDER BY d.run_at, d.id
LIMIT ?5

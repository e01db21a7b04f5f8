-- ?1 queue, ?2 before, ?3 how many
SELECT d.id, j.lane, j.priority, d.run_at
FROM delayed d CROSS JOIN jobs j ON j.id = d.id
WHERE d.queue = ?1 AND j.added_at < ?2
LIMIT ?3

-- ?1 now, ?2 how many
SELECT d.run_at, d.id, j.lane, j.priority
FROM delayed d CROSS JOIN jobs j ON j.id = d.id
WHERE d.run_at <= ?1
ORDER BY d.run_at, d.id
LIMIT ?2

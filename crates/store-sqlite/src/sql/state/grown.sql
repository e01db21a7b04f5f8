-- ?1 the newest stamp that was seen, ?2 how many: the logs that grew since, oldest growth first
SELECT l.stamp, s.name, l.name
FROM state_logs l LEFT JOIN state_spaces s ON s.id = l.space
WHERE l.stamp > ?1
ORDER BY l.stamp
LIMIT ?2

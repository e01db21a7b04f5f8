-- ?1 the first name of the page, ?2 the name behind the range (a blob is behind all), ?3 how many, ?4 area
SELECT key, expires_at FROM state_counters WHERE area = ?4 AND key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3

-- ?1 the first name of the page, ?2 the name behind the range (a blob is behind all), ?3 how many, ?4 space
SELECT name, NULL FROM state_areas WHERE space = ?4 AND name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3

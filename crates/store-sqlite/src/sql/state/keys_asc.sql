-- ?1 area, ?2 the first key of the page, ?3 the key behind the range (a blob is behind all), ?4 how many
SELECT key, version, updated_at, expires_at, value FROM state_documents
WHERE area = ?1 AND key >= ?2 AND key < ?3
ORDER BY key
LIMIT ?4

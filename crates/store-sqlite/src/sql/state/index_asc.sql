-- ?1 area, ?2 index, ?3 and ?4 the value and key before the page, ?5 the value behind the range, ?6 how many.
-- CROSS: the index leads.
SELECT d.key, d.version, d.updated_at, d.expires_at, d.value, i.value
FROM state_index i CROSS JOIN state_documents d ON d.id = i.document
WHERE i.area = ?1 AND i.name = ?2 AND (i.value, i.key) > (?3, ?4) AND i.value < ?5
ORDER BY i.value, i.key
LIMIT ?6

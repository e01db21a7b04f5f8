-- ?1 area, ?2 index, ?3 the first value of the range, ?4 and ?5 the value and key behind the page, ?6 how many.
-- CROSS: the index leads.
SELECT d.key, d.version, d.updated_at, d.expires_at, d.value, i.value
FROM state_index i CROSS JOIN state_documents d ON d.id = i.document
WHERE i.area = ?1 AND i.name = ?2 AND i.value >= ?3 AND (i.value, i.key) < (?4, ?5)
ORDER BY i.value DESC, i.key DESC
LIMIT ?6

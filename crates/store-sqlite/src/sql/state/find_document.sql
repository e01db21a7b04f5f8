-- ?1 area, ?2 key
SELECT id, version, expires_at, indexes FROM state_documents WHERE area = ?1 AND key = ?2

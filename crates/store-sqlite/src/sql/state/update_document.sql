-- ?1 id, ?2 version, ?3 updated_at, ?4 expires_at or NULL, ?5 indexes or NULL, ?6 value
UPDATE state_documents SET version = ?2, updated_at = ?3, expires_at = ?4, indexes = ?5, value = ?6
WHERE id = ?1

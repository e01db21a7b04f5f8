-- ?1 now, ?2 how many
SELECT id, area, key, indexes FROM state_documents WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2

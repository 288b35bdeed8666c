//! Link cache, click stream, dead letters, invalidation and limits on Redis

//! Portway local-backend.

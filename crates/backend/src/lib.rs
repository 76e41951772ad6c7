//! Portway backend.

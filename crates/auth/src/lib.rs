//! Portway auth.

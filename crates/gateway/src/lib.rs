//! Portway gateway.

//! Portway hashing.

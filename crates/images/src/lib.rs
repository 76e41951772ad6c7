//! Portway images.

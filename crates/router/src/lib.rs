//! Portway router.

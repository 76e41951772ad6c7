//! Portway deploy-config.

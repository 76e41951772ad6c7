//! Portway autoscale.

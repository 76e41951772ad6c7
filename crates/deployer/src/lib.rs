//! Portway deployer.

//! Loopback ports that are free.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use crate::state::lock;

/// The ports that replicas of this backend have been given.
#[derive(Debug, Default)]
pub(crate) struct Ports(Mutex<HashSet<u16>>);

/// A port that no other replica of this backend is given while this value lives.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    ports: Arc<Ports>,
}

impl Ports {
    /// Asks the system for a free port. Another program may take it before ours does; see [`is_taken`].
    pub(crate) fn free(self: &Arc<Self>) -> io::Result<Port> {
        // The listeners are closed only at the end, so that the system never offers one port twice.
        let mut refused = Vec::new();
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let number = listener.local_addr()?.port();
            if lock(&self.0).insert(number) {
                return Ok(Port { number, ports: Arc::clone(self) });
            }
            refused.push(listener);
        }
    }
}

impl Port {
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// Whether somebody listens there, asked after the replica has ended: then it was somebody else.
    pub(crate) fn is_taken(&self) -> bool {
        TcpListener::bind(self.address()).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        lock(&self.ports.0).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_replicas_never_have_one_port() {
        let ports = Arc::new(Ports::default());
        let given: Vec<Port> = (0..100).map(|_| ports.free().unwrap()).collect();
        let numbers: HashSet<u16> = given.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), 100);
        drop(given);
        assert!(lock(&ports.0).is_empty());
    }

    #[test]
    fn a_port_that_somebody_took_is_recognised() {
        let port = Arc::new(Ports::default()).free().unwrap();
        assert!(!port.is_taken());
        let _somebody = TcpListener::bind(port.address()).unwrap();
        assert!(port.is_taken());
    }
}

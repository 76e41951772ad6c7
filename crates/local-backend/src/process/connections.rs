//! Who still talks to a replica.

/// How many connections to the local `port` are established; `None` where the system does not tell.
///
/// This is how a program that knows nothing of draining can be told to stop without breaking a request: its gateway
/// closes idle connections to a replica that is going away, so those that remain carry requests.
pub(crate) fn established(port: u16) -> Option<usize> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let mut total = None;
    for table in tables.into_iter().flatten() {
        *total.get_or_insert(0) += count(&table, port);
    }
    total
}

/// Lines look like `0: 0100007F:1F90 0100007F:C350 01 …`: number, local, remote, state; 01 is established.
fn count(table: &str, port: u16) -> usize {
    let port = format!("{port:04X}");
    let is_one = |line: &&str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let local = words.next().and_then(|address| address.rsplit_once(':'));
        local.is_some_and(|(_, local_port)| local_port == port) && words.nth(1) == Some("01")
    };
    table.lines().filter(is_one).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_established_connections_to_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1\n\
            1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  0 0 2\n\
            2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  0 0 3\n\
            3: 0100007F:1F90 0100007F:C351 06 00000000:00000000 00:00000000 00000000  0 0 4\n";
        assert_eq!(count(table, 0x1F90), 1);
        assert_eq!(count(table, 80), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_real_connection_is_seen_until_it_is_closed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(established(port), Some(0));
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = listener.accept().unwrap();
        assert_eq!(established(port), Some(1));
        drop((client, server));
        assert_eq!(established(port), Some(0));
    }
}
